"""Configurations: all compose and build; what is wrong is said with the nearest right thing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from detection.checkpoint import build
from detection.engine.train import TrainingRules
from detection.inference.detector import Inference
from detection.inference.refine import Refinement
from detection.model.faster_rcnn import FasterRCNN
from tools.launch import CONFIGS, as_plain, compose_config, launch

EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
TOOLS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_composes(name: str) -> None:
    assert compose_config(name, [])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_its_model_and_schedule(experiment: str) -> None:
    config = compose_config("train", [f"experiment={experiment}", "data.root=somewhere"])
    model = as_plain(config.model) | {"num_classes": 3}
    with torch.device("meta"):  # shapes alone: filling a hundred million weights takes seconds
        assert isinstance(instantiate(OmegaConf.create(model), _convert_="all"), FasterRCNN)
    assert isinstance(instantiate(config.schedule.rules), TrainingRules)
    assert instantiate(config.schedule.learning_rate, _convert_="all").base > 0
    assert as_plain(config)["data"]["test_shorter_side"] > 0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_opens_as_a_lab_note(experiment: str) -> None:
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    assert "# command:" in text


@pytest.mark.parametrize("choice", choices("inference"))
def test_every_inference_builds_by_hydra_and_from_a_checkpoint(choice: str) -> None:
    config = compose_config("test", [f"inference={choice}"])
    built = build(as_plain(config.inference))
    assert isinstance(built, Inference)
    assert built == instantiate(config.inference, _convert_="all")


def test_the_steps_of_appendix_b_are_the_papers() -> None:
    full = build(as_plain(compose_config("test", ["inference=full"]).inference))
    assert full.refinement == Refinement(passes=1, regions="best_class")
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
    with pytest.raises(ValueError, match="choose inference= first, one of full, multi_scale"):
        compose_config("test", ["inference.flip=true"])


@pytest.mark.parametrize("group", ["inference", "model", "runtime", "schedule", "data"])
def test_every_choice_of_a_group_composes(group: str) -> None:
    for choice in choices(group):
        assert compose_config("train", [f"{group}={choice}"])


def test_hydra_and_the_checkpoint_build_the_same_model() -> None:
    overrides = ["model/backbone=resnet_basic", "model.num_classes=2", "data.root=x"]
    config = compose_config("train", overrides)
    ours = build(as_plain(config.model)).state_dict()
    hydras = instantiate(config.model, _convert_="all").state_dict()
    assert {name: v.shape for name, v in ours.items()} == {n: v.shape for n, v in hydras.items()}


def test_the_paper2015_preset_has_the_papers_numbers() -> None:
    config = compose_config("train", ["data.root=x"])
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.rot=x", "did you mean 'data.root'"),
        ("schedule.batch_sise=3", "did you mean 'schedule.batch_size'"),
        ("shedule.batch_size=3", "did you mean 'schedule.batch_size'"),
        ("batch_size=3", "did you mean 'schedule.batch_size'"),
        ("model=papr2015", "did you mean 'paper2015'"),
        ("experiment=nothing", "there is no such experiment"),
        ("epochs", "write key=value"),
        ("schedule.learning_rate.reference=high", "must be a number, as 0.001 is"),
        ("inference.flp=true", "did you mean 'inference.flip'"),
        ("resume=perhaps", "must be true or false"),
    ],
)
def test_a_wrong_override_names_the_nearest_right_one(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("train", [override])


def test_a_users_mistake_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def main(config: object) -> None:
        raise FileNotFoundError(f"{tmp_path}: no such folder")

    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit, match=r"error: .*no such folder"):
        launch(main, config="train")


def test_a_missing_value_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit, match=r"data\.root is needed: add data\.root="):
        launch(lambda config: config.data.root, config="train")


def test_help_shows_groups_and_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(config: object) -> None:
        raise AssertionError("must not run")

    monkeypatch.setattr("sys.argv", ["tool", "--help"])
    launch(main, config="train")
    shown = capsys.readouterr().out
    assert "runtime=exact|fast" in shown
    assert "clip_norm: null" in shown


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains_in_alternation_too(experiment: str) -> None:
    config = compose_config("alternating", [f"experiment={experiment}", "data.root=somewhere"])
    assert config.schedule.fast_rcnn.batch_size > 0
    assert config.output_dir == "outputs/alternating"


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.startswith("table")])
def test_a_preset_of_a_table_says_the_papers_number(experiment: str) -> None:
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    for entry in ("# paper:    table", "# hardware:", "# measured:"):
        assert entry in text
