"""A run goes on with the settings that it began with, or says which are others."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from detection.cli import train_alternating
from detection.cli.compose import compose_config
from detection.cli.resumed_settings import check_settings
from detection.engine.alternating_training import four_steps
from detection.engine.folder_lock import MARKER

GROUPS = ("schedule=short", "runtime=exact")
BASE = ["data.root=photos", "weights=r50.pt", "schedule=modern_c4"]


@functools.cache
def composed(config: str, *groups: str) -> DictConfig:
    return compose_config(config, [*BASE, *groups])


def settings(folder: Path, *overrides: str, config: str = "train") -> DictConfig:
    """As a command composes them, but for the checks of each value: many, in a moment."""
    groups = [word for word in overrides if "/" in word.partition("=")[0] or word in GROUPS]
    found = copy.deepcopy(composed(config, *groups))
    for word in (f"output_dir={folder}", *(word for word in overrides if word not in groups)):
        key, _, value = word.partition("=")
        OmegaConf.update(found, key, yaml.safe_load(value))
    return found


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.pt").touch()
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(settings(folder)))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seed=2", "seed: 1, now 2"),
        ("data.root=others", "data.root: 'photos', now 'others'"),
        ("data.train_split=train2", "data.train_split: 'train', now 'train2'"),
        ("data.shorter_sides=[500]", "data.shorter_sides: [600], now [500]"),
        ("data.longest=900", "data.longest: 1000, now 900"),
        ("data.flip_probability=0", "data.flip_probability: 0.5, now 0"),
        ("data.crop_probability=0.5", "data.crop_probability: 0, now 0.5"),
        ("data.colour=0.3", "data.colour: 0, now 0.3"),
        ("data.size_step=32", "data.size_step: 0, now 32"),
        ("data.repeat_threshold=0.1", "data.repeat_threshold: 0, now 0.1"),
        ("schedule.batch_size=4", "schedule.batch_size: 16, now 4"),
        ("schedule.learning_rate.reference=0.2", "schedule.learning_rate.reference: 0.02, now 0.2"),
        ("schedule.learning_rate.milestones=[9]", "milestones: [60000, 80000], now [9]"),
        ("schedule.learning_rate.warmup_iterations=5", "warmup_iterations: 1000, now 5"),
        ("schedule.optimizer.weight_decay=0", "schedule.optimizer.weight_decay: 0.0001, now 0"),
        ("schedule.optimizer.momentum=0.5", "schedule.optimizer.momentum: 0.9, now 0.5"),
        ("schedule/optimizer=adamw", "_target_: 'detection.engine.optimizers.sgd', now"),
        ("schedule.rules.clip_norm=5", "schedule.rules.clip_norm: None, now 5"),
        ("model.rpn.anchors.sizes=[64]", "model.rpn.anchors.sizes: "),
        ("model.roi_head.pooling=roi_align", "model.roi_head.pooling: 'roi_pool', now 'roi_align'"),
        ("model.roi_head.pooled_size=7", "model.roi_head.pooled_size: 14, now 7"),
        ("model.pixels.mean=[1,2,3]", "model.pixels.mean: "),
        ("model.backbone.bin_step=1", "model.backbone.bin_step: 2, now 1"),
        ("model.backbone.depth=50", "model.backbone.depth: 101, now 50"),
        ("inference.post_processing.nms_iou=0.5", "inference.post_processing.nms_iou: 0.3, now"),
        ("data.val_split=test", "data.val_split: 'val', now 'test'"),
    ],
)
def test_what_changes_the_result_is_refused(begun: Path, change: str, said: str) -> None:
    with pytest.raises(ValueError, match="resume_with_changes=true") as error:
        check_settings(begun, settings(begun, "resume=true", change))
    assert said in str(error.value)
    assert f"--config {begun}/config.yaml" in str(error.value)
    accepted = settings(begun, "resume=true", "resume_with_changes=true", change)
    measures = change.startswith(("data.", "inference."))
    assert check_settings(begun, accepted) is not measures
    # Without resume=true it is a new run, of which the folder has a say.
    assert check_settings(begun, settings(begun, change))


@pytest.mark.parametrize(
    "change",
    [
        "runtime.workers=0",
        "runtime.device=cpu",
        "runtime=exact",
        "validation.backend=pycocotools",
        "validation.batch_size=1",
        "schedule.rules.log_every=1",
        "schedule.rules.evaluate_every=10",
        "schedule.rules.checkpoint_every=10",
        "schedule.rules.iterations=100000",
        "weights=null",  # they are in the checkpoint
        "data.root=./photos",
    ],
)
def test_the_rest_is_free(begun: Path, change: str) -> None:
    assert check_settings(begun, settings(begun, "resume=true", change))


def test_a_run_from_before_a_key_did_as_its_zero_says(begun: Path) -> None:
    old = OmegaConf.load(begun / "config.yaml")
    for key in ("size_step", "colour", "crop_probability", "crop_least", "repeat_threshold"):
        del old.data[key]
    OmegaConf.save(old, begun / "config.yaml")
    assert check_settings(begun, settings(begun, "resume=true"))
    with pytest.raises(ValueError, match=r"data\.size_step: 0, now 32"):
        check_settings(begun, settings(begun, "resume=true", "data.size_step=32"))


def test_more_iterations_are_refused_where_the_rate_depends_on_them(tmp_path: Path) -> None:
    (tmp_path / "last.pt").touch()
    short = ["schedule=short", "schedule.rules.iterations=200"]
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(settings(tmp_path, *short)))
    longer = settings(tmp_path, *short, "resume=true", "schedule.rules.iterations=300")
    with pytest.raises(ValueError, match=r"schedule\.learning_rate\.iterations: 200, now 300"):
        check_settings(tmp_path, longer)


def test_validations_that_decide_on_the_training_stay(tmp_path: Path) -> None:
    (tmp_path / "last.pt").touch()
    (tmp_path / "config.yaml").write_text(
        OmegaConf.to_yaml(settings(tmp_path, "schedule.precise_bn=10"))
    )
    changed = ["schedule.precise_bn=10", "schedule.rules.evaluate_every=7", "resume=true"]
    with pytest.raises(ValueError, match=r"evaluate_every: 20000, now 7"):
        check_settings(tmp_path, settings(tmp_path, *changed))


@pytest.mark.parametrize("change", ["weights=r101.pt", "init=detector.pt weights=null"])
def test_what_a_training_begins_with_cannot_change(begun: Path, change: str) -> None:
    changed = settings(begun, "resume=true", "resume_with_changes=true", *change.split())
    with pytest.raises(ValueError, match=r"goes on from last\.pt"):
        check_settings(begun, changed)


def test_a_folder_may_move_with_what_lies_beside_it(tmp_path: Path) -> None:
    for place in ("here", "there"):
        folder = tmp_path / place / "run"
        folder.mkdir(parents=True)
        own = [f"data.root={tmp_path}/{place}/photos"]
        if place == "here":
            text = OmegaConf.to_yaml(settings(folder, *own))
        (folder / "last.pt").touch()
        (folder / "config.yaml").write_text(text)
        assert check_settings(folder, settings(folder, *own, "resume=true"))


def test_a_damaged_configuration_is_said(begun: Path) -> None:
    (begun / "config.yaml").write_text("seed: [1\n")
    with pytest.raises(ValueError, match=r"config\.yaml: not readable") as error:
        check_settings(begun, settings(begun, "resume=true"))
    assert "\n" not in str(error.value)


def test_keys_that_one_of_two_versions_lacks_are_not_compared(begun: Path) -> None:
    text = (begun / "config.yaml").read_text().replace("train_on_empty: true", "train_later: true")
    (begun / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"data\.train_later: True, now None"):
        check_settings(begun, settings(begun, "resume=true"))
    (begun / MARKER).write_text('{"version": "0.0.1"}')
    assert check_settings(begun, settings(begun, "resume=true"))


def test_all_steps_of_alternating_training_are_compared(tmp_path: Path) -> None:
    first = four_steps(tmp_path)[0]
    first.folder.mkdir()
    (first.folder / "last.pt").touch()
    config = settings(tmp_path, config="alternating")
    text = OmegaConf.to_yaml(train_alternating.step_config(first, config))
    (first.folder / "config.yaml").write_text(text)
    same = settings(tmp_path, "resume=true", "runtime.device=cpu", config="alternating")
    train_alternating.check_steps(same)
    other = settings(tmp_path, "resume=true", "seed=2", config="alternating")
    with pytest.raises(ValueError, match=r"1_rpn was begun with other settings.*seed: 1, now 2"):
        train_alternating.main(other)


def test_it_belongs_to_resuming(begun: Path) -> None:
    with pytest.raises(ValueError, match="belongs to resume=true"):
        compose_config("train", [*BASE, "resume_with_changes=true"])
