"""--config FILE: a run's own config.yaml in place of the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.cli.launch import launch
from detection.cli.run_config import as_default


def test_a_runs_own_file_is_the_base_again(tmp_path: Path) -> None:
    words = ["schedule=short", "model=vgg16", "data.root=somewhere", "resume=true"]
    ran = compose_config("train", words)
    file = tmp_path / "config.yaml"
    file.write_text(OmegaConf.to_yaml(ran))
    with as_default(file, "train"):
        again = compose_config("train", [])
        changed = compose_config("train", ["schedule.batch_size=3", "schedule.rules.iterations=9"])
        with pytest.raises(ValueError, match=r"did you mean 'schedule\.batch_size'"):
            compose_config("train", ["schedule.batch_sise=3"])
    expected = OmegaConf.to_container(ran, resolve=True)
    assert isinstance(expected, dict)
    assert OmegaConf.to_container(again, resolve=True) == expected | {"resume": False}
    # What is taken from other keys follows them.
    assert changed.schedule.learning_rate.batch_size == 3
    assert changed.schedule.learning_rate.iterations == 9
    assert compose_config("train", []).model.backbone.depth == 101


def test_a_part_of_a_file_changes_what_it_says_alone(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("model: {backbone: {depth: 50}}\n")
    before = compose_config("train", [])
    with as_default(file, "train") as keys:
        after = compose_config("train", [])
    assert keys == ["model.backbone.depth"]
    assert after.model.backbone.depth == 50
    after.model.backbone.depth = before.model.backbone.depth
    assert after.model == before.model


def test_a_key_of_an_earlier_version_is_taken_where_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("model: {regions_at_once: 16}\n")
    with as_default(file, "train") as keys:
        assert compose_config("train", []).runtime.regions_at_once == 16
    assert keys == ["runtime.regions_at_once"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {rot: x}\n", "configs/train.yaml has no key data.rot; did you mean data.root"),
        ("detections: a.json\n", "configs/train.yaml has no key detections"),
        ("a: [\n", "no readable YAML file"),
        ("- a\n", "no configuration; it needs lines of key: value"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(SystemExit, match=f"error: --config .*my.yaml: {message}"):
        launch(COMMANDS["train"], ["detection train", "--config", str(tmp_path / "my.yaml")])
    with pytest.raises(SystemExit, match=r"error: --config .*none\.yaml: no such file"):
        launch(COMMANDS["train"], ["detection train", "--config", str(tmp_path / "none.yaml")])
