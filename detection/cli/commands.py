"""The commands: their names, modules, configurations and positional arguments.

A row of this table is all that a new command needs besides its module, whose ``main`` takes the
configuration, and its file in configs/.
"""

from __future__ import annotations

from detection.cli.command import Command, Positional

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
            follows=True,
        ),
        Command(
            "test",
            "detection.cli.test_net",
            "test",
            "measures a detector, or saved detections, with COCO's and VOC's metrics",
            (Positional("CHECKPOINT", "checkpoint", unless="detections"), DATA),
            follows=True,
        ),
        Command(
            "detect",
            "detection.cli.detect",
            "detect",
            "detects objects in photos",
            (CHECKPOINT, Positional("IMAGES", "images", several=True)),
            follows=True,
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
            "show-data",
            "detection.cli.show_data",
            "show_data",
            "shows a data set, and mini-batches as training gets them, as a page",
            (DATA,),
        ),
        Command(
            "serve",
            "detection.cli.serve",
            "serve",
            "a web page to drop pictures on, and an HTTP endpoint",
            (CHECKPOINT,),
            output=None,
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
            follows=True,
        ),
        Command(
            "train-classifier",
            "detection.cli.train_classifier",
            "classifier",
            "trains a classifier, from which a detector can start",
            (DATA,),
            follows=True,
        ),
        Command(
            "test-classifier",
            "detection.cli.test_classifier",
            "test_classifier",
            "measures a classifier's top-1 and top-5 error",
            (CHECKPOINT, DATA),
        ),
        Command(
            "train-localizer",
            "detection.cli.train_localizer",
            "localizer",
            "trains a network that says where the object of a class is",
            (DATA,),
            follows=True,
        ),
        Command(
            "test-localizer",
            "detection.cli.test_localizer",
            "test_localizer",
            "measures top-5 localisation error",
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
            follows=True,
        ),
        Command(
            "degradation",
            "detection.cli.degradation",
            "degradation",
            "plain and residual networks of two depths: the degradation problem",
            (DATA,),
            follows=True,
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
            follows=True,
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
