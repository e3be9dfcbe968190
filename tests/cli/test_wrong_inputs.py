"""Wrong and odd command lines: each is answered with the key, the value and the rule, at once."""

from __future__ import annotations

import copy
import functools
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from detection.cli import compose
from detection.cli.command import Command
from detection.cli.commands import COMMANDS
from detection.cli.launch import launch

BENCHMARK = Command("benchmark", "benchmarks.benchmark", "benchmark", "times")

# Command and arguments, and what the answer says.
TRAIN = [
    ("schedule.batch_size=0", "schedule.batch_size=0: must be a whole number from 1 to 65536"),
    ("schedule.batch_size=2.5", "schedule.batch_size=2.5: must be a whole number"),
    ("schedule.batch_size=true", "schedule.batch_size=true: must be a whole number"),
    ("schedule.batch_size=null", "schedule.batch_size=null: must be a whole number"),
    ("schedule.batch_size=[8]", "65536: write schedule.batch_size=8"),
    ("schedule.batch_size=1e9", "schedule.batch_size=1000000000.0: must be a whole number from"),
    ("schedule.batch_size=\"'8'\"", "schedule.batch_size='8': must be a whole number"),
    ("schedule.batch_size=", "schedule.batch_size='': must be a whole number"),
    ("schedule.rules.iterations=0", "iterations=0: must be a whole number of 1 or more (at most"),
    ("schedule.rules.iterations=1e30", "schedule.rules.iterations=1e+30: must be a whole number"),
    ("schedule.rules.iterations=0x10", "schedule.rules.iterations='0x10': must be a whole number"),
    ("schedule.rules.accumulate=0", "schedule.rules.accumulate=0: must be"),
    ("data.size_step=601", "data.size_step=601: pictures have sides of 600 pixels"),
    ("schedule.rules.accumulate=9", "must be at most schedule.batch_size, 8"),
    ("schedule.rules.clip_norm=0", "clip_norm=0: must be a number above 0, or null"),
    ("schedule.rules.clip_norm=-1", "schedule.rules.clip_norm=-1: must be"),
    ("schedule.rules.clip_norm=inf", "schedule.rules.clip_norm=inf: must be"),
    ("schedule.rules.log_every=-1", "log_every=-1: must be a whole number of 0 or more"),
    ("schedule.learning_rate.reference=0", "schedule.learning_rate.reference=0: must be a number"),
    ("schedule.learning_rate.reference=-0.0", "reference=-0.0: must be a number above 0"),
    ("schedule.learning_rate.reference=-0.001", "reference=-0.001: must be a number above 0"),
    ("schedule.learning_rate.reference=nan", "reference=nan: must be a number above 0"),
    ("schedule.learning_rate.reference=high", "reference='high': must be a number above 0"),
    ("schedule.learning_rate.decay=2", "decay=2: must be a number above 0, up to 1"),
    ("schedule.learning_rate.milestones=[400000]", "320000 iterations, before the rate falls at"),
    (
        "schedule.learning_rate.milestones=[2,1]",
        "[2,1]: must be a list [...], ascending",
    ),
    ("schedule.learning_rate.milestones=[5,5]", "schedule.learning_rate.milestones=[5,5]: must be"),
    ("schedule.learning_rate.milestones=9", "write schedule.learning_rate.milestones=[9]"),
    ("schedule.learning_rate.warmup_iterations=400000", "the training ends after 320000 iter"),
    ("schedule.learning_rate.warmup_factor=-1", "warmup_factor=-1: must be a number from 0 to 1"),
    ("schedule.optimizer.momentum=1", "momentum=1: must be a number of 0 or more, and below 1"),
    ("schedule.optimizer.weight_decay=-1", "schedule.optimizer.weight_decay=-1: must be"),
    ("+schedule.optimizer.nesterov=true", "nesterov=true: sgd has no such setting; it takes mom"),
    ("schedule/optimizer=adamw schedule.optimizer.betas=[0.9]", "must be a list [...] of 2, each"),
    ("model.backbone.depth=51", "model.backbone.depth=51: must be 18, 34, 50, 101 or 152"),
    ("model.backbone.depth=deep", "model.backbone.depth='deep': must be 18, 34"),
    ("model.backbone.bin_step=3", "model.backbone.bin_step=3: must be 1 or 2"),
    ("model.backbone.stride_in_1x1=false", "model.backbone.bin_step=2: leaves out bins"),
    ("model.backbone.norm=froze", "must be frozen, trained or trained_extra; did you mean frozen?"),
    ("model.backbone.frozen_stages=[conv9]", "frozen_stages=['conv9']: must be a list [...]"),
    ("model.backbone.frozen_stages=conv1", "write model.backbone.frozen_stages=[conv1]"),
    ("model.backbone.frozen_stages=[conv1,conv1]", "without duplicates"),
    ("model.backbone=3", "model.backbone=3: must be the settings of ResNet, VGG16"),
    ("model/backbone=vgg16", "write model.roi_head.pooled_size=7"),
    ("+model.rpn.new=1", "model.rpn.new=1: RPN has no such setting"),
    ("model.rpn.hidden_channels=300000", "=300000: must be a whole number from 1 to 16384"),
    ("model.rpn.sigma=0", "model.rpn.sigma=0: must be a number above 0, or inf"),
    ("model.rpn.sigma=nan", "model.rpn.sigma=nan: must be a number above 0, or inf"),
    ("model.rpn.sigma=.inf", "must be a number above 0, or inf (in YAML .inf)"),
    ("model.rpn.anchors.sizes=[]", "model.rpn.anchors.sizes=[]: must be a list [...] of one or"),
    ("model.rpn.anchors.sizes=[64,64]", "model.rpn.anchors.sizes=[64,64]: must be"),
    ("model.rpn.anchors.aspect_ratios=[-1]", "model.rpn.anchors.aspect_ratios=[-1]: must be"),
    ("model.rpn.sampling.negative_iou=0.8", "would be negative and positive at once"),
    ("model.rpn.sampling.positive_fraction=0", "leaves none of per_image=256 for objects"),
    (
        "model.roi_head.sampling.per_image=4 model.roi_head.sampling.foreground_fraction=0.1",
        "foreground_fraction=0.1: leaves none of per_image=4 for objects, so none is learnt: for",
    ),
    ("data.repeat_threshold=2", "data.repeat_threshold=2: must be a number from 0 to 1"),
    ("model.rpn.sampling.divide_by=batch", "divide_by='batch': must be sampled or per_image"),
    ("model.rpn.test_proposals.nms_iou=1.5", "nms_iou=1.5: must be a number from 0 to 1"),
    ("model.roi_head.pooling=foo", "model.roi_head.pooling='foo': must be roi_pool or roi_align"),
    ("model.roi_head.pooled_size=10000", "=10000: must be a whole number from 1 to 64"),
    ("model.roi_head.box_weights=[10,10]", "must be a list [...] of 4, each a number above 0"),
    ("model.roi_head.sampling.background_iou=[0.5,0.1]", "background_iou=[0.5,0.1]: must be"),
    ("model.pixels.order=BRG", "model.pixels.order='BRG': must be BGR or RGB"),
    ("model.pixels.mean=[1,2]", "model.pixels.mean=[1,2]: must be a list [...] of 3"),
    ("model.pixels.std=[0,0,0]", "model.pixels.std=[0,0,0]: must be a list [...] of 3"),
    ("data.classes=person", "data.classes='person': must be a list"),
    ("data.classes=person", "or null: write data.classes=[person]"),
    ("data.classes=[]", "data.classes=[]: must be a list [...] of one or more"),
    ("data.classes=[cat,cat]", "data.classes=['cat','cat']: must be"),
    ("data.shorter_sides=400", "write data.shorter_sides=[400]"),
    ("data.shorter_sides=[0]", "data.shorter_sides=[0]: must be"),
    ("data.shorter_sides=[600,abc]", "data.shorter_sides=[600,'abc']: must be"),
    ("data.longest=abc", "data.longest='abc': must be a whole number from 1 to 20000"),
    ("data.flip_probability=7", "data.flip_probability=7: must be a number from 0 to 1"),
    ("data.crop_probability=-1", "data.crop_probability=-1: must be a number from 0 to 1"),
    ("data.crop_least=0", "data.crop_least=0: must be a number above 0, up to 1"),
    ("data.colour=30", "data.colour=30: must be a number from 0 to 1"),
    ("data.invalid_boxes=ignore", "data.invalid_boxes='ignore': must be clip, error or repair"),
    ("data.ignore_crowd=maybe", "data.ignore_crowd='maybe': must be true or false"),
    ("data.train_split=[]", "data.train_split=[]: must be a text, or a list of texts"),
    ("data.train_split=[train,train]", "data.train_split=['train','train']: must be"),
    ("runtime.device=0", "runtime.device='0': must be auto, cpu, cuda or cuda:<index>"),
    ("runtime.device=gpu", "runtime.device='gpu': must be"),
    ("runtime.precision=fp16", "runtime.precision='fp16': must be auto, fp32 or bf16"),
    ("runtime.workers=-1", "runtime.workers=-1: must be auto, or a whole number from 0 to 512"),
    (
        "runtime.regions_at_once=0",
        "runtime.regions_at_once=0: must be auto, or a whole number from 1 to 1000000",
    ),
    ("model.regions_at_once=16", "did you mean 'runtime.regions_at_once'"),
    ("runtime.workers=1000000", "runtime.workers=1000000: must be"),
    ("runtime.deterministic=1", "runtime.deterministic=1: must be true or false"),
    ("seed=-1", "seed=-1: must be a whole number from 0 to 4294967295"),
    ("seed=1.5", "seed=1.5: must be"),
    ("resume=yes", "resume='yes': must be true or false"),
    ("resume=true overwrite=true", "overwrite=true: replaces a run, and resume=true goes on"),
    ("output_dir=null", "output_dir=null: must be a folder"),
    ("output_dir=[a]", "output_dir=['a']: must be a folder: write output_dir=a"),
    ("train_only=head", "train_only='head': must be rpn or fast_rcnn, or null"),
    ("train_only=fast_rcnn", "train_only='fast_rcnn': learns on proposals of data.train_split"),
    ("train_only=fast_rcnn proposals=a.safetensors", "give val_proposals=<.safetensors>"),
    ("proposals=a.safetensors", "proposals='a.safetensors': is for train_only=fast_rcnn"),
    ("validation.backend=foo", "validation.backend='foo': must be hotcoco or pycocotools"),
    ("inference.post_processing.voting_iou=0", "voting_iou=0: must be a number above 0, up to 1"),
    ("inference.multi_scale.shorter_sides=[600]", "must be two lengths or more, or [] for"),
    ("inference.multi_scale.shorter_sides=[800,600]", "shorter_sides=[800,600]: must be a list"),
    ("inference.refinement.passes=-1", "inference.refinement.passes=-1: must be"),
    (
        "schedule=cifar",
        "schedule=cifar: this schedule is another command's; choose from auto, modern_c4",
    ),
    ("data=imagenet", "data=imagenet: this data is another command's; choose from coco2014"),
    (
        "model/pixels=per_pixel_mean",
        "model/pixels=per_pixel_mean: this model/pixels is another command's",
    ),
    (
        "experiment=classification/cifar",
        "experiment=classification/cifar: this experiment is another command's",
    ),
    ("hydra.verbose=true", "hydra.verbose=true: settings of Hydra's own would change nothing"),
    ("+hydra.run.dir=x", "+hydra.run.dir=x: settings of Hydra's own"),
    ("+new=1", "new=1: there is no such key; the nearest are "),
    ("~schedule.batch_size", "schedule.batch_size: is missing; must be a whole number"),
    ("-o a -o b", "-o is given 2 times (a, b): leave one"),
    ("-o ''", "output_dir='': must be a folder"),
    ("-o a output_dir=a", "-o and output_dir= are the same"),
    ("--config ''", "--config '': a path is needed"),
    ("--config-dir ''", "--config-dir '': a path is needed"),
    ("--config-dir nowhere", "--config-dir nowhere: no such folder"),
    ("--config a --config b", "--config is given 2 times"),
    ("--config", "argument --config: expected one argument"),
    ("output_dir = x", "write key=value without spaces around the ="),
    ("seed =3", "'=3': write key=value without spaces"),
    ("seed=\uff13", "seed=\uff13: cannot be read"),
    ("数=3", "数=3: there is no key '数'"),
    ("seed=" + 5000 * "9", "seed=9999"),
    (3000 * "x" + "=1", "...xxxx"),
    ("seed=${nowhere}", "seed=...: must be a whole number"),
    ("runtime=[1]", "runtime=[1]: there is no such runtime; choose from exact, fast"),
    ("schedule=", "schedule=: there is no such schedule"),
    ("experiment=demo/../train", "experiment=demo/../train: there is no such experiment"),
    ("model.rpn.anchors=[1]", "has settings of its own; set those, as in model.rpn.anchors.sizes="),
    ("schedule.rules=4", "schedule.rules=4: must be the settings of TrainingRules"),
    ("data.classes=[[cat]]", "data.classes=[['cat']]: must be a list"),
    ("data.classes=[{a:1}]", "data.classes=[{...}]: must be a list"),
    ("data.classes=[cat,]", "a bracket, a quote or a comma of its value is amiss"),
    ("model.backbone._target_=detection.model.resnet.Nets", "cannot be imported"),
]
OTHERS = [
    ("detect m.pt p score_threshold=abc", "score_threshold='abc': must be a number from 0 to 1"),
    ("detect m.pt p score_threshold=-0.1", "score_threshold=-0.1: must be"),
    ("detect m.pt p nms_iou=2", "nms_iou=2: must be a number from 0 to 1, or null"),
    ("detect m.pt p per_image=0", "per_image=0: must be"),
    ("detect m.pt p shorter_side=0", "shorter_side=0: must be"),
    ("detect m.pt p draw_score=2", "draw_score=2: must be a number from 0 to 1"),
    ("detect m.pt p draw=perhaps", "draw='perhaps': must be true or false"),
    ("detect m.pt p trust=mine", "trust='mine': must be a list [...], without"),
    ("detect m.pt images=[]", "images=[]: must be a text, or a list"),
    ("detect p checkpoint=[a.pt,a.pt]", "checkpoint=['a.pt','a.pt']: must be a text, or a list"),
    ("detect m.pt", "images is needed: add IMAGES, or images=..."),
    ("detect m.pt p conf=0.3", "did you mean 'score_threshold', now null?"),
    ("detect m.pt p iou=0.3", "did you mean 'nms_iou'"),
    ("detect m.pt p trust=[[a]]", "trust=[['a']]: must be a list [...], without duplicates, each"),
    ("detect m.pt p score_threshold={person:7}", "a table {class: number} of them"),
    ("detect m.pt p formats=[pdf]", "formats=['pdf']: must be a list"),
    ("env device=gpu", "device='gpu': must be auto, cpu"),
    ("env x", "'x' is no override"),
    ("env -o x", "env writes no files: leave out -o"),
    ("weights names=[]", "names=[]: must be a text, or a list"),
    ("weights download=maybe", "download='maybe': must be true or false"),
    ("export-weights m.pt x.pth to=onnx", "to='onnx': must be detectron2, torchvision or safeten"),
    ("import a.pth x.pt -o y.pt", "'x.pt' is one argument too many"),
    ("test m.pt d max_images=-5", "max_images=-5: must be a whole number of 1 or more"),
    ("test m.pt d submission=kitti", "submission='kitti': must be voc or coco, or null"),
    ("test m.pt d submission=voc max_images=5", "max_images=5: with submission=voc"),
    ("test d checkpoint=m.pt detections=d.json", "detections='d.json': are measured in place of"),
    ("test data.root=d", "checkpoint=null: there is nothing to measure: give either checkpoint="),
    ("test m.pt d compare=a report=false", "compare='a': is for the report: leave it out"),
    ("test m.pt d compare=[a,a]", "compare=['a','a']: must be a list [...], without duplicates"),
    ("test m.pt d open=true report=false", "open=true: is for the report: leave it out"),
    ("train d --open report=false", "open=true: opens the report: leave it out, or report=false"),
    ("test m.pt d backend=coco", "backend='coco': must be hotcoco or pycocotools"),
    ("propose d checkpoint=[a.pt,b.pt]", "proposals are of one RPN: give one checkpoint"),
    ("train-alternating d train_only=rpn", "each of the four steps has its own: leave it out"),
    ("compare m.pt d bootstrap.confidence=1", "must be a number above 0, below 1"),
    ("compare m.pt d rows.single=3", "rows.single=3: must be a text"),
    (
        "train-classifier d data=folder",
        "data=folder: this data is another command's; choose from cifar10, imag",
    ),
    ("train-classifier d experiment=demo", "experiment=demo: this experiment is another command's"),
    ("train-classifier d resume=true overwrite=true", "replaces a run, and resume=true goes on"),
    ("train-classifier d network=cifar model.backbone.depth=21", "depth=21: must be 6n + 2"),
    ("train-classifier d data.crop.side=300", "data.crop.shorter_sides=[256,480]: must be"),
    ("train-classifier d schedule=short schedule.precise_bn=5", "schedule.precise_bn=5: a clas"),
    ("test-classifier m.pt d batch_size=0", "batch_size=0: must be a whole number from 1"),
    ("test-classifier m.pt d views=centre views.side=300", "views.side=300: a crop does not fit"),
    ("bn-statistics m.pt d data.images=0", "data.images=0: must be a whole number of 1 or more"),
    ("check d splits=train", "or null: write splits=[train]"),
    ("check d workers=-1", "workers=-1: must be a whole number from 0 to 512"),
    ("import a.pkl b.pt to=caffe", "to='caffe': must be ours or detectron2"),
    ("import a.pkl b.pt pixels=rgb", "pixels='rgb': must be msra, torchvision or detectron2"),
    ("import a.pkl b.pt class_names=cat", "or null: write class_names=[cat]"),
    ("plot-curves a b labels=[a]", "labels=['a']: must be as many as the runs, 2"),
    ("demo pretraining.epochs=0", "pretraining.epochs=0: must be a whole number of 1 or more"),
    ("demo shapes.image_side=1", "shapes.image_side=1: must be a whole number from 128 to 20000"),
    ("demo pretraining.context=[1]", "pretraining.context=[1]: must be a list [...] of 2, ascend"),
    ("demo detector=[a=1]", "such texts need quotes within the shell's: 'detector=[\"a=1\"]'"),
    ("demo shapes.splits.train=0", "shapes.splits.train=0: must be"),
    ("degradation d runs.plain-20=3", "runs.plain-20=3: must be a list"),
    ("benchmark suite=opps", "suite='opps': must be ops, inference"),
    ("benchmark device=auto", "device='auto': must be cpu, cuda or cuda:<index>, or null"),
]
PAPER = "train d schedule=paper2015"
WRONG = [
    *((f"{'train d' if 'schedule=' in w else PAPER} {w}", message) for w, message in TRAIN),
    *OTHERS,
]


@pytest.fixture(scope="module")
def composed_once() -> Callable[..., DictConfig]:
    """Hydra's compose, whose answers are kept: many of the commands choose the same files."""

    @functools.cache
    def kept(config: str, overrides: tuple[str, ...]) -> DictConfig:
        return hydras(config, overrides=[*overrides])

    hydras: Any = compose.compose
    return lambda config, overrides=(): copy.deepcopy(kept(config, tuple(overrides)))


DATA_SETS = ("d", "2014", "照片")
GIVEN = {"modules", "stands_for_a_command.py", "__pycache__", *DATA_SETS}


@pytest.fixture
def run(
    composed_once: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], DictConfig]:
    """Launches a command line up to the command's own module: the configuration that it gets.

    Torch is imported by that module, not before it.
    """
    monkeypatch.setattr(compose, "compose", composed_once)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DETECTION_TRACEBACK", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    for folder in ("modules", *DATA_SETS):
        (tmp_path / folder).mkdir()
    (tmp_path / "modules" / "stands_for_a_command.py").write_text(
        "reached = []\n\n\ndef main(config):\n    reached.append(config)\n"
    )

    def launched(line: str) -> DictConfig:
        name, *words = shlex.split(line)
        command = BENCHMARK if name == "benchmark" else COMMANDS[name]
        launch(replace(command, module="stands_for_a_command"), [f"detection {name}", *words])
        import stands_for_a_command  # type: ignore[import-not-found]

        return stands_for_a_command.reached[-1]

    return launched


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    line: str, message: str, run: Callable[[str], DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(line)
    said = str(ended.value)  # a text: Python prints it, and exits with 1
    assert message in said
    assert said.startswith("error: ")
    assert "\n" not in said
    assert len(said) < 1000
    assert not any(word in said.lower() for word in ("pydantic", "input_type", "multirun"))
    assert {path.name for path in tmp_path.rglob("*")} <= GIVEN  # nothing is written


def test_everything_that_is_wrong_is_said_at_once(run: Callable[[str], DictConfig]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("train schedule.batch_size=0 data.classes=cat seed=-1 +new=1 model.roi_head.pooling=x")
    first, *others = str(ended.value).splitlines()
    assert first == "error: 6 values of the configuration are wrong:"
    assert [line.strip().partition("=")[0].partition(" ")[0] for line in others] == [
        *("model.roi_head.pooling", "data.root", "data.classes", "schedule.batch_size"),
        *("seed", "new"),
    ]


def test_unknown_keys_files_and_wrong_values_are_said_at_once(
    run: Callable[[str], DictConfig],
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("train d schedule.batch_sise=8 experiment=nope seed=-1 data.flip_probability=7")
    first, *others = str(ended.value).splitlines()
    assert first == "error: 4 values of the configuration are wrong:"
    assert [line.strip().partition("=")[0] for line in others] == [
        *("experiment", "schedule.batch_sise", "data.flip_probability", "seed"),
    ]


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("schedule.rules.iterations=9e5", "schedule.rules.iterations", 900_000),
        ("schedule.learning_rate.reference=1e-3", "schedule.learning_rate.reference", 0.001),
        ("schedule.learning_rate.reference=1", "schedule.learning_rate.reference", 1),
        ("schedule.learning_rate.milestones=[]", "schedule.learning_rate.milestones", []),
        ("schedule.learning_rate.milestones=[1e3]", "schedule.learning_rate.milestones", [1000]),
        ("schedule.rules.clip_norm=null", "schedule.rules.clip_norm", None),
        ("schedule.optimizer.weight_decay=-0.0", "schedule.optimizer.weight_decay", 0.0),
        ("model.rpn.sigma=inf", "model.rpn.sigma", float("inf")),
        ("model.backbone.depth=50.0", "model.backbone.depth", 50),
        ("model.backbone.frozen_stages=[]", "model.backbone.frozen_stages", []),
        ("data.root=照片", "data.root", "照片"),
        ("data.root=2014", "data.root", "2014"),
        ("output_dir=1", "output_dir", "1"),
        ("output_dir=1e3", "output_dir", "1e3"),
        ("data.train_split=007", "data.train_split", "007"),
        ("data.train_split=[2007,2012]", "data.train_split", ["2007", "2012"]),
        ("data.classes=[0,1]", "data.classes", ["0", "1"]),
        ("data.classes=[true,null,No,1e3]", "data.classes", ["true", "null", "No", "1e3"]),
        ("data.classes=[Katze, 犬]", "data.classes", ["Katze", "犬"]),
        ("data.classes=null", "data.classes", None),
        ("data.shorter_sides=[600,600,800]", "data.shorter_sides", [600, 600, 800]),
        ("weights=null", "weights", None),
        ("seed=0", "seed", 0),
        ("runtime.device=cuda:1", "runtime.device", "cuda:1"),
        ("model.num_classes=20", "model.num_classes", 20),
    ],
)
def test_what_is_odd_but_right_is_taken(
    words: str, key: str, value: Any, run: Callable[[str], DictConfig]
) -> None:
    place = "" if "data.root" in words else "d"
    found = OmegaConf.select(run(f"train schedule=paper2015 {place} {shlex.quote(words)}"), key)
    assert found == value
    assert isinstance(found, list | type(value)) or OmegaConf.is_list(found)


def test_a_shortened_training_is_told_what_lies_beyond_its_end(
    run: Callable[[str], DictConfig], caplog: pytest.LogCaptureFixture
) -> None:
    run("train d experiment=modern_c4 schedule.rules.iterations=400")
    assert "warmup_iterations=1000: the training ends after 400 iterations" in caplog.text
    assert "milestones=[300], or [] for a constant rate" in caplog.text


def test_a_class_of_another_package_takes_what_it_takes(run: Callable[[str], DictConfig]) -> None:
    line = "train d model.backbone._target_=argparse.Namespace model.backbone.width=wide"
    assert run(line).model.backbone.width == "wide"
    with pytest.raises(SystemExit, match="seed=-1: must be"):  # the rest is still checked
        run(f"{line} seed=-1")
