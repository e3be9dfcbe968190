"""A class of another package on the command line takes the place of one of ours."""

from __future__ import annotations

import pytest

from detection.cli.compose import compose_config
from detection.cli.objects import as_plain


def test_a_new_class_takes_the_settings_of_the_command_line_alone() -> None:
    config = compose_config(
        "train",
        ["data.root=x", "model.backbone._target_=theirs.Net", "model.backbone.width=3"],
    )
    assert as_plain(config.model.backbone) == {"_target_": "theirs.Net", "width": 3}
    assert config.model.rpn.hidden_channels == 512  # what lies outside stays


def test_a_factory_stays_one() -> None:
    config = compose_config("train", ["data.root=x", "model.roi_head._target_=theirs.Head"])
    assert as_plain(config.model.roi_head) == {"_target_": "theirs.Head", "_partial_": True}


def test_a_setting_of_the_old_class_can_be_given_to_the_new_one() -> None:
    config = compose_config(
        "train", ["data.root=x", "model.backbone.depth=18", "model.backbone._target_=theirs.Net"]
    )
    assert as_plain(config.model.backbone) == {"_target_": "theirs.Net", "depth": 18}


def test_a_misspelt_key_beside_it_is_an_error_as_always() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'model\.rpn\.sigma'"):
        compose_config("train", ["model.backbone._target_=theirs.Net", "model.rpn.sigmo=3"])
