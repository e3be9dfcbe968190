"""A class of another package on the command line takes the place of one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.cli.compose import compose_config
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
