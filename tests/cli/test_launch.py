"""Configurations: all compose and build; what is wrong is said with the nearest right thing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.classifier import Classifier
from detection.cli.choices import all_groups_of, groups_of, shown_groups_of
from detection.cli.command import Command
from detection.cli.commands import COMMANDS
from detection.cli.compose import CONFIGS, check_values, compose_config
from detection.cli.launch import launch
from detection.cli.objects import as_plain
from detection.cli.train_alternating import step_config
from detection.engine.alternating_training import four_steps
from detection.engine.checkpoints import find_previous
from detection.engine.train import TrainingRules
from detection.inference.detector import Inference
from detection.inference.refine import Refinement
from detection.model.faster_rcnn import FasterRCNN

EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
CLASSIFIER_EXPERIMENTS = sorted(
    f"classification/{path.stem}"
    for path in (CONFIGS / "experiment" / "classification").glob("*.yaml")
)
TOOLS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def test_a_value_that_lost_its_quotes_in_the_shell_is_shown_with_them() -> None:
    with pytest.raises(ValueError, match=r"'rows.single=\"inference=single shorter_side=400\"'"):
        compose_config("compare", ["rows.single=inference=single shorter_side=400"])


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_composes(name: str) -> None:
    assert compose_config(name, [])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_its_model_and_schedule(experiment: str) -> None:
    config = compose_config("train", [f"experiment={experiment}", "data.root=somewhere"])
    model = as_plain(config.model) | {"num_classes": 3}
    with torch.device("meta"):  # shapes alone: filling a hundred million weights takes seconds
        assert isinstance(instantiate(OmegaConf.create(model), _convert_="all"), FasterRCNN)
    assert isinstance(instantiate(config.schedule.rules), TrainingRules)
    assert instantiate(config.schedule.learning_rate, _convert_="all").base > 0
    assert as_plain(config)["data"]["test_shorter_side"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("experiment", CLASSIFIER_EXPERIMENTS)
def test_every_classifier_experiment_builds_what_it_names(experiment: str) -> None:
    config = compose_config("classifier", [f"experiment={experiment}", "data.root=somewhere"])
    assert isinstance(build_classifier(config), Classifier)
    assert isinstance(instantiate(config.schedule.rules), TrainingRules)
    assert instantiate(config.schedule.learning_rate, _convert_="all").base > 0
    crop = instantiate(config.data.crop, _convert_="all")
    image = np.zeros((config.data.crop.side, 300, 3), dtype=np.uint8)
    assert crop(image, np.random.default_rng(0)).shape == (crop.side, crop.side, 3)
    assert instantiate(config.data.views, _convert_="all")(image)


def build_classifier(config: DictConfig) -> nn.Module:
    model = as_plain(config.model) | {"num_classes": 3}
    with torch.device("meta"):
        return instantiate(OmegaConf.create(model), _convert_="all")


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(p.stem for p in (CONFIGS / "network").glob("*.yaml")))
@pytest.mark.parametrize("pixels", ["msra", "per_pixel_mean"])
def test_every_network_is_a_classifiers_backbone(network: str, pixels: str) -> None:
    config = compose_config(
        "classifier", [f"network={network}", f"model/pixels={pixels}", "data.root=x"]
    )
    assert isinstance(build_classifier(config), Classifier)


@pytest.mark.slow
@pytest.mark.parametrize("views", sorted(p.stem for p in (CONFIGS / "views").glob("*.yaml")))
def test_every_choice_of_views(views: str) -> None:
    config = compose_config("test_classifier", [f"views={views}", "data.root=x"])
    image = np.zeros((230, 300, 3), dtype=np.uint8)
    sizes = [view.shape for view in instantiate(config.views, _convert_="all")(image)]
    assert all(shape[1] >= 224 for shape in sizes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "caffe_sgd", "detectron2_sgd", "adamw"])
def test_every_optimizer_goes_with_every_schedule(name: str) -> None:
    for schedule in choices("schedule"):
        config = compose_config(
            "classifier", [f"schedule={schedule}", f"schedule/optimizer={name}", "data.root=x"]
        )
        optimizer = instantiate(config.schedule.optimizer, _convert_="all")(nn.Linear(2, 2))
        assert isinstance(optimizer, torch.optim.Optimizer)


def test_the_recipes_have_the_papers_numbers() -> None:
    imagenet = compose_config("classifier", ["data.root=x"])
    cifar = compose_config("classifier", ["experiment=classification/cifar", "data.root=x"])
    deep = compose_config("classifier", ["experiment=classification/cifar_110", "data.root=x"])
    assert (imagenet.data.crop.side, list(imagenet.data.crop.shorter_sides)) == (224, [256, 480])
    assert (imagenet.schedule.batch_size, imagenet.schedule.rules.iterations) == (256, 600_000)
    assert (cifar.schedule.batch_size, cifar.schedule.rules.iterations) == (128, 64_000)
    assert list(cifar.schedule.learning_rate.milestones) == [32_000, 48_000]
    assert (cifar.data.crop.padding, cifar.data.crop.side) == (4, 32)
    assert (cifar.model.backbone.depth, cifar.model.backbone.shortcut) == (20, "A")
    for config in (imagenet, cifar):
        optimizer = config.schedule.optimizer
        assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 0.0001)
        assert optimizer.bias_weight_decay == 0.0001
        assert config.schedule.learning_rate.reference == 0.1
        assert config.schedule.learning_rate.decay == 0.1
    rate = instantiate(deep.schedule.learning_rate, _convert_="all")
    assert deep.model.backbone.depth == 110
    assert [rate(i) for i in (0, 399, 400)] == pytest.approx([0.01, 0.01, 0.1])


@pytest.mark.slow
@pytest.mark.parametrize("run", list(compose_config("degradation", []).runs))
def test_every_run_of_the_degradation_figure(run: str) -> None:
    config = compose_config("degradation", [])
    composed = compose_config("classifier", [*config.common, *config.runs[run], "data.root=x"])
    assert build_classifier(composed)
    assert (composed.model.backbone.shortcut == "none") == run.startswith("plain")
    assert str(composed.model.backbone.depth) in run


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [*EXPERIMENTS, *CLASSIFIER_EXPERIMENTS])
def test_every_experiment_opens_as_a_lab_note(experiment: str) -> None:
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    assert "# command:" in text


@pytest.mark.slow
@pytest.mark.parametrize("choice", choices("inference"))
def test_every_inference_builds_by_hydra_and_from_a_checkpoint(choice: str) -> None:
    config = compose_config("test", [f"inference={choice}"])
    built = build(as_plain(config.inference))
    assert isinstance(built, Inference)
    assert built == instantiate(config.inference, _convert_="all")


def test_the_steps_of_appendix_b_are_the_papers() -> None:
    full = build(as_plain(compose_config("test", ["inference=full"]).inference))
    assert full.refinement == Refinement(passes=1, regions="best_class", minimum_score=0.0)
    assert (full.post_processing.nms_iou, full.post_processing.voting_iou) == (0.3, 0.5)
    assert full.multi_scale.shorter_sides == [200, 400, 600, 800, 1000]
    assert full.multi_scale.region_side == 224
    assert full.flip


def test_the_steps_are_switched_one_by_one() -> None:
    overrides = ["inference=single", "inference.flip=true", "inference.refinement.passes=2"]
    config = compose_config("test", [*overrides, "inference.post_processing.voting_iou=0.6"])
    built = build(as_plain(config.inference))
    assert (built.flip, built.refinement.passes) == (True, 2)
    assert built.post_processing.voting_iou == 0.6
    without = ["inference=full", "inference.multi_scale.shorter_sides=[]"]
    assert not compose_config("test", without).inference.multi_scale.shorter_sides


def test_without_a_choice_the_checkpoint_decides() -> None:
    assert compose_config("test", []).get("inference") is None
    with pytest.raises(ValueError, match="choose inference= first, one of full, modern_c4"):
        compose_config("test", ["inference.flip=true"])


@pytest.mark.slow
@pytest.mark.parametrize("config", ["train", "classifier"])
def test_a_file_of_a_group_is_offered_where_its_values_fit(config: str) -> None:
    """What is offered composes and is right; what is not offered is refused, and rightly so."""
    offered, shown = groups_of(config), shown_groups_of(config)
    for group, names in all_groups_of(config).items():
        for name in names if group != "experiment" else ():  # these have a test of their own
            assert fits(config, f"{group}={name}") is (name in shown[group]), name
    # Some are taken by another file, with what they need, or need another value beside them.
    beside = [(g, name) for g, names in offered.items() for name in names if name not in shown[g]]
    assert beside == ([("model/backbone", "vgg16")] if config == "train" else [])
    other = {"train": "schedule=cifar", "classifier": "data=folder"}[config]
    with pytest.raises(ValueError, match=f"{other}: this .* is another command's; choose from "):
        compose_config(config, [other])


def fits(config: str, override: str) -> bool:
    """Whether all keys and values are right, whatever is offered."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose(config, overrides=[override])
    try:
        check_values(config, composed, [override])
        as_plain(OmegaConf.merge(composed, {"data": {"root": "x"}}))
    except (OmegaConfBaseException, ValueError):
        return False
    return True


def test_hydra_and_the_checkpoint_build_the_same_model() -> None:
    overrides = ["model/backbone=resnet_basic", "model.num_classes=2", "data.root=x"]
    config = compose_config("train", overrides)
    ours = build(as_plain(config.model)).state_dict()
    hydras = instantiate(config.model, _convert_="all").state_dict()
    assert {name: v.shape for name, v in ours.items()} == {n: v.shape for n, v in hydras.items()}


def test_the_paper2015_preset_has_the_papers_numbers() -> None:
    config = compose_config("train", ["data.root=x", "schedule=paper2015"])
    assert (config.model.backbone.depth, config.model.backbone.stride_in_1x1) == (101, True)
    assert list(config.model.backbone.frozen_stages) == ["conv1", "conv2"]
    assert config.model.roi_head.pooled_size == 14
    assert config.model.roi_head.sampling.per_image == 128
    assert config.model.rpn.test_proposals.after_nms == 300
    assert (list(config.data.shorter_sides), config.data.longest) == ([600], 1000)
    assert config.inference.post_processing.nms_iou == 0.3
    assert config.schedule.rules.iterations == 240_000 + 80_000
    assert list(config.schedule.learning_rate.milestones) == [240_000]
    assert (config.schedule.batch_size, config.schedule.learning_rate.reference) == (8, 0.001)


def differing(a: object, b: object, key: str = "") -> set[str]:
    """The keys under which two configurations hold something else."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), key
        return {found for name in a for found in differing(a[name], b[name], f"{key}.{name}")}
    return set() if a == b else {key.removeprefix(".")}


def test_modern_c4_differs_from_the_paper_in_these_values_and_no_others() -> None:
    paper = as_plain(compose_config("train", ["data.root=x", "schedule=paper2015"]))
    modern = as_plain(compose_config("train", ["data.root=x", "experiment=modern_c4"]))
    assert differing(paper["model"], modern["model"]) == {
        "pixels.mean",
        "backbone.depth",
        "rpn.hidden_channels",
        "rpn.sigma",
        "rpn.anchors.sizes",
        "rpn.anchors.centre",
        "rpn.anchors.rounded",
        "rpn.sampling.cross_boundary",
        "rpn.sampling.ignore_coverage",
        "rpn.sampling.divide_by",
        "rpn.test_proposals.after_nms",
        "roi_head.pooling",
        "roi_head.sigma",
        "roi_head.sampling.per_image",
        "roi_head.sampling.ignore_coverage",
        "roi_head.sampling.divide_by",
    }
    assert differing(paper["inference"], modern["inference"]) == {"post_processing.nms_iou"}
    assert differing(paper["data"], modern["data"]) == {
        "shorter_sides",
        "test_shorter_side",
        "longest",
        "train_on_empty",
        "ignore_difficult",
        "invalid_boxes",
    }
    assert modern["schedule"]["optimizer"] == {
        "_target_": "detection.engine.optimizers.sgd",
        "_partial_": True,
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "bias_rate_factor": 1.0,
        "bias_weight_decay": 0.0001,
        "norm_weight_decay": 0.0,
    }


def test_mocos_protocol_trains_every_layer_for_24_thousand_iterations() -> None:
    config = compose_config("train", ["data.root=x", "experiment=moco_voc"])
    backbone = config.model.backbone
    assert (backbone.depth, backbone.norm) == (50, "trained_extra")
    assert (backbone.stride_in_1x1, backbone.bin_step) == (False, 1)
    assert list(backbone.frozen_stages) == []
    assert config.model.pixels.order == "RGB"
    assert (config.data.shorter_sides[0], config.data.shorter_sides[-1]) == (480, 800)
    assert (config.data.test_shorter_side, config.data.longest) == (800, 1333)
    assert config.schedule.rules.iterations == 24_000
    assert config.schedule.precise_bn == 200
    assert config.schedule.batch_size == 16
    rate = instantiate(config.schedule.learning_rate, _convert_="all")
    # 0.02 for 16 images, warm-up over 100 iterations from a thousandth.
    assert [rate(i) for i in (0, 100, 17_999, 18_000, 22_000)] == pytest.approx(
        [0.00002, 0.02, 0.02, 0.002, 0.0002]
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.rot=x", "did you mean 'data.root'"),
        ("schedule.batch_sise=3", "did you mean 'schedule.batch_size'"),
        ("shedule.batch_size=3", "did you mean 'schedule.batch_size'"),
        ("batch_size=3", "did you mean 'schedule.batch_size'"),
        ("model=papr2015", "did you mean 'paper2015'"),
        ("experiment=nothing", "there is no such experiment"),
        ("experiment=r50_c4_smal_cpu", "did you mean 'r50_c4_small_cpu'"),
        (
            "experiment=classification/cifar",
            "this experiment is another command's; choose from demo",
        ),
        (
            "schedule=cifar",
            "this schedule is another command's; choose from auto, modern_c4, paper2015, pap",
        ),
        ("data=imagenet", "this data is another command's; choose from coco2014"),
        ("epochs", "write key=value"),
        ("schedule.learning_rate.reference=high", "'high': must be a number above 0"),
        ("inference.flp=true", "did you mean 'inference.flip'"),
        ("resume=perhaps", "must be true or false"),
    ],
)
def test_a_wrong_override_names_the_nearest_right_one(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("train", [override])


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        ("detect", ["model.backbone.depth=50"], "this tool takes no model"),
        ("test", ["experiment=demo"], "this tool takes no experiment"),
        ("degradation", ["~runs.plain-56", "data.rot=x"], "did you mean 'data.root'"),
        (
            "classifier",
            ["experiment=demo"],
            "is another command's; choose from classification/cifar,",
        ),
        ("classifier", ["data=folder"], "is another command's; choose from cifar10, imagenet"),
        ("classifier", ["model/pixels=msar"], "there is no such model/pixels; did you mean 'msra'"),
    ],
)
def test_what_another_tool_takes_is_no_choice(
    config: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config(config, overrides)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """One whose program always fails."""
    (tmp_path / "failing.py").write_text(
        '"""What failing does."""\n\n\ndef main(config):\n'
        "    raise FileNotFoundError(f'{config.data.root}: no such folder')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Command(name="failing", module="failing", config="train", help="fails")


def test_a_users_mistake_ends_with_one_line(command: Command) -> None:
    with pytest.raises(SystemExit, match=r"error: somewhere: no such folder"):
        launch(command, ["tool", "data.root=somewhere"])


def test_what_the_system_refuses_ends_with_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    module = tmp_path / "writing.py"
    for place, said in (
        ("file/x", "file/x: Not a directory"),
        ("folder", "folder: Is a directory"),
        (400 * "z", "File name too long"),
    ):
        module.write_text(f"def main(config):\n    open({str(tmp_path / place)!r}, 'w')\n")
        sys.modules.pop("writing", None)
        importlib.invalidate_caches()
        with pytest.raises(SystemExit, match=said) as ended:
            launch(Command(name="w", module="writing", config="env", help="writes"), ["tool"])
        assert str(ended.value).startswith("error: ")
        assert "\n" not in str(ended.value)


@pytest.mark.slow
def test_overrides_that_a_key_holds_are_checked_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name, words, said in (
        ("demo", ['pretraining.classifier=["a"]'], "pretraining.classifier: 'a' is no override"),
        ("demo", ['detector=["schedule.batch_size=0"]'], "detector: schedule.batch_size=0: must"),
        ("degradation", ["d", 'runs.plain-20=["a=1"]'], "runs.plain-20: a=1: there is no key"),
    ):
        with pytest.raises(SystemExit, match=said):
            launch(COMMANDS[name], [name, *words])
    assert [path.name for path in tmp_path.rglob("*")] == ["d"]


def test_a_missing_value_is_asked_for(command: Command) -> None:
    with pytest.raises(SystemExit, match=r"data\.root is needed: add data\.root="):
        launch(command, ["tool"])
    with pytest.raises(SystemExit, match=r"data\.root is needed: add DATA, or data\.root="):
        launch(COMMANDS["train"], ["tool"])


def test_a_run_is_not_resumed_with_its_classes_in_another_order(tmp_path: Path) -> None:
    def classifier(*names: str) -> ClassifierCheckpoint:
        return ClassifierCheckpoint(weights={}, model_config={}, class_names=[*names], views={})

    classifier("cat", "dog").save(tmp_path / "last.pt")
    assert find_previous(tmp_path, classifier("cat", "dog"), resume=True)
    with pytest.raises(ValueError, match=r"last\.pt was trained on cat, dog, .* has dog, cat"):
        find_previous(tmp_path, classifier("dog", "cat"), resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains_in_alternation_too(experiment: str, tmp_path: Path) -> None:
    config = compose_config("alternating", [f"experiment={experiment}", "data.root=somewhere"])
    for step in four_steps(tmp_path):
        own = step_config(step, config)
        assert build(as_plain(own.schedule.learning_rate))(0) > 0
        assert own.schedule.batch_size == own.schedule.learning_rate.batch_size
    assert config.output_dir == "outputs/alternating"


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.startswith("table")])
def test_a_preset_of_a_table_says_the_papers_number(experiment: str) -> None:
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    for entry in ("# paper:    table", "# hardware:", "# measured:"):
        assert entry in text
