"""A class of another package on the command line takes the place of one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from detection.cli.compose import CONFIGS, _with_values, compose_config
from detection.cli.objects import as_plain

NETWORK = "theirs.Net"


@pytest.fixture(autouse=True)
def _their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.py").write_text(
        "class Net:\n    def __init__(self, *, width, norm):\n        pass\n\n\n"
        "class Head:\n    def __init__(self, *, in_channels, num_classes, pooled_size):\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_new_class_gets_what_is_given_and_of_the_files_what_it_takes() -> None:
    config = compose_config(
        "train", ["data.root=x", f"model.backbone._target_={NETWORK}", "model.backbone.width=3"]
    )
    # Of ResNet's settings, depth, stride_in_1x1 and so on, it takes one.
    assert as_plain(config.model.backbone) == {"_target_": NETWORK, "width": 3, "norm": "frozen"}
    assert config.model.rpn.hidden_channels == 512  # what lies outside stays


def test_a_factory_stays_one() -> None:
    config = compose_config("train", ["data.root=x", "model.roi_head._target_=theirs.Head"])
    assert as_plain(config.model.roi_head) == {
        "_target_": "theirs.Head",
        "_partial_": True,
        "pooled_size": 14,
    }


def test_a_setting_that_is_given_is_never_dropped() -> None:
    # That the class does not take it is an error when it is built, not a word in the log.
    config = compose_config(
        "train", ["data.root=x", "model.backbone.depth=18", f"model.backbone._target_={NETWORK}"]
    )
    assert config.model.backbone.depth == 18


def test_a_format_is_named_by_its_class_alone() -> None:
    config = compose_config("train", ["data.root=x", "data.format._target_=theirs.Net"])
    assert as_plain(config.data.format) == {"_target_": "theirs.Net"}


@pytest.mark.parametrize("name", ["theirs.Nte", "nobodys.Net", "Net"])
def test_a_class_that_is_not_there_is_said_at_once(name: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.backbone\._target_={name}: cannot be imported"):
        compose_config("train", ["data.root=x", f"model.backbone._target_={name}"])


def test_a_misspelt_key_beside_it_is_an_error_as_always() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'model\.rpn\.sigma'"):
        compose_config("train", [f"model.backbone._target_={NETWORK}", "model.rpn.sigmo=3"])


def test_values_are_set_as_hydra_sets_them() -> None:
    values = [
        *("schedule.batch_size=4", "data.shorter_sides=[400,500]", "model.rpn.sigma=inf"),
        *("data.classes=null", "output_dir='a b'", "seed=${schedule.batch_size}", "weights=''"),
        *("model.rpn.anchors={sizes: [32]}",),
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        known = compose("train", overrides=["experiment=modern_c4"])
        for given in (values[:-1], values):  # the last one brings keys of its own
            ours = _with_values(known, given)
            assert (ours is None) is (given is values)
            if ours is not None:
                assert ours == compose("train", overrides=["experiment=modern_c4", *given])
        assert known.schedule.batch_size == 16
