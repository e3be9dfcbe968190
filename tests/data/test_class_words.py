"""An override of class names comes through a shell and the command line as it was."""

from __future__ import annotations

import shlex

import pytest

from detection.cli.compose import compose_config
from detection.data.class_words import classes_override


@pytest.mark.parametrize(
    "names", [["cup"], ["stop sign", "car"], ["it's", 'a "b"', "a, b"], ["Straße", "猫", "[x]"]]
)
def test_what_is_copied_is_what_is_meant(names: list[str]) -> None:
    (word,) = shlex.split(classes_override(names))
    assert list(compose_config("train", ["data.root=x", word]).data.classes) == names
