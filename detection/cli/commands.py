"""The commands: their names, modules, configurations and positional arguments.

A row of this table is all that a new command needs besides its module, whose ``main`` takes the
configuration, and its file in configs/.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Positional:
    """A plain argument: a path, which becomes the value of ``key`` as it stands.

    ``several``: all that follow belong to it, as a list.  ``unless``: a key that makes this
    argument needless, as saved detections do with a checkpoint.  ``optional``: whether the
    command does without it.
    """

    name: str
    key: str
    several: bool = False
    unless: str | None = None
    optional: bool = False

    def __str__(self) -> str:
        shown = f"{self.name}..." if self.several else self.name
        return f"[{shown}]" if self.optional else shown


@dataclass(frozen=True)
class Command:
    """``module`` is imported after the configuration stands: torch takes seconds to load.

    ``config``: the file of configs/.  ``output``: the key that ``-o`` sets, if there is one.
    ``computes``: whether it runs a network, whose threads are chosen before torch is imported.
    ``without``: keys of ``config`` that this command does not look at, which need no value here.
    ``examples``: of a command that shares ``config`` with another one, whose examples stand there.
    """

    name: str
    module: str
    config: str
    help: str
    positionals: tuple[Positional, ...] = ()
    output: str | None = "output_dir"
    computes: bool = True
    without: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """What follows the command's name."""
        names = [str(positional) for positional in self.positionals]
        output = ["[-o OUTPUT]"] if self.output else []
        return " ".join([*names, *output, "[--config FILE] [--config-dir DIR] [key=value ...]"])


DATA = Positional("DATA", "data.root")
CHECKPOINT = Positional("CHECKPOINT", "checkpoint")

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "train",
            "detection.cli.train_net",
            "train",
            "trains a detector on a data set of any format",
            (DATA,),
        ),
        Command(
            "test",
            "detection.cli.test_net",
            "test",
            "measures a detector, or saved detections, with COCO's and VOC's metrics",
            (Positional("CHECKPOINT", "checkpoint", unless="detections"), DATA),
        ),
        Command(
            "detect",
            "detection.cli.detect",
            "detect",
            "detects objects in photos",
            (CHECKPOINT, Positional("IMAGES", "images", several=True)),
        ),
        Command(
            "check",
            "detection.cli.check_dataset",
            "check",
            "lists what is wrong with a data set",
            (DATA,),
            computes=False,
        ),
        Command(
            "import",
            "detection.cli.import_weights",
            "import_weights",
            "imports the weights of others",
            (Positional("SOURCE", "source"), Positional("OUTPUT", "output")),
            output="output",
            computes=False,
        ),
        Command(
            "export-weights",
            "detection.cli.export_weights",
            "export_weights",
            "exports weights to detectron2, torchvision or safetensors",
            (CHECKPOINT, Positional("OUTPUT", "output")),
            output="output",
        ),
        Command(
            "weights",
            "detection.cli.weights",
            "weights",
            "lists the published weights that can be called by name",
            (Positional("NAME", "names", several=True, optional=True),),
            output=None,
            computes=False,
        ),
        Command(
            "propose",
            "detection.cli.propose",
            "propose",
            "writes the RPN's proposals to a file, and their recall",
            (CHECKPOINT, DATA),
            output="output",
        ),
        Command(
            "train-alternating",
            "detection.cli.train_alternating",
            "alternating",
            "trains a detector in the four steps of alternating training",
            (DATA,),
        ),
        Command(
            "train-classifier",
            "detection.cli.train_classifier",
            "classifier",
            "trains a classifier, from which a detector can start",
            (DATA,),
        ),
        Command(
            "test-classifier",
            "detection.cli.test_classifier",
            "test_classifier",
            "measures a classifier's top-1 and top-5 error",
            (CHECKPOINT, DATA),
        ),
        Command(
            "bn-statistics",
            "detection.cli.bn_statistics",
            "bn_statistics",
            "computes a classifier's exact BN statistics",
            (CHECKPOINT, DATA),
        ),
        Command(
            "responses",
            "detection.cli.responses",
            "responses",
            "how strongly each layer of classifiers answers: figure 7",
            (DATA,),
        ),
        Command(
            "compare",
            "detection.cli.compare",
            "compare",
            "compares settings of inference, or checkpoints, in one table",
            (CHECKPOINT, DATA),
        ),
        Command(
            "plot-curves",
            "detection.cli.plot_curves",
            "plot_curves",
            "draws the errors of several trainings in one figure",
            (Positional("RUNS", "runs", several=True),),
            output="output",
            computes=False,
        ),
        Command(
            "demo",
            "detection.cli.demo",
            "demo",
            "the whole paper in small, on generated pictures",
        ),
        Command(
            "degradation",
            "detection.cli.degradation",
            "degradation",
            "plain and residual networks of two depths: the degradation problem",
            (DATA,),
        ),
        Command(
            "describe",
            "detection.cli.describe",
            "train",
            "counts a detector's parameters and multiply-adds",
            output=None,
            computes=False,
            without=("data.root",),
            examples=(
                "experiment=table9_refine",
                "model=vgg16",
            ),
        ),
        Command(
            "describe-classifier",
            "detection.cli.describe_classifier",
            "classifier",
            "counts a classifier's parameters and multiply-adds",
            output=None,
            computes=False,
            without=("data.root",),
            examples=("model.backbone.depth=34", "experiment=classification/cifar"),
        ),
        Command(
            "env",
            "detection.cli.env",
            "env",
            "prints the machine, the versions and what is fastest here",
            output=None,
        ),
        Command(
            "benchmark",
            "detection.benchmarks.benchmark",
            "benchmark",
            "times against peers",
            computes=False,  # its threads are what the peers' are
        ),
    )
}
