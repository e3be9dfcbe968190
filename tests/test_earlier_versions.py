"""Checkpoints of earlier versions: every name that they hold has a class of this version."""

from __future__ import annotations

import importlib
import inspect

import pytest

from detection.build import build
from detection.earlier_versions import (
    ADDED_ARGUMENTS,
    MOVED,
    REMOVED_ARGUMENTS,
    RENAMED_VALUES,
    current_arguments,
    current_content,
    current_settings,
)


def class_of(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, type)
    return found


NAMES = {*MOVED.values(), *ADDED_ARGUMENTS, *RENAMED_VALUES, *REMOVED_ARGUMENTS}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_now_is_a_class(name: str) -> None:
    assert class_of(name).__module__ + "." + class_of(name).__name__ == name


@pytest.mark.parametrize("name", sorted(MOVED))
def test_no_old_name_is_a_class_any_more(name: str) -> None:
    # A name that still exists needs no translation, and a chain of them would be half translated.
    assert name not in MOVED.values()
    try:
        found = class_of(name)
    except (ImportError, AttributeError):
        return
    assert f"{found.__module__}.{found.__name__}" != name  # its old module only imports it


@pytest.mark.parametrize("table", [ADDED_ARGUMENTS, RENAMED_VALUES])
def test_arguments_that_are_filled_in_or_renamed_exist(table: dict[str, dict[str, object]]) -> None:
    for name, arguments in table.items():
        assert arguments.keys() <= inspect.signature(class_of(name)).parameters.keys()


def test_arguments_that_are_removed_are_no_more() -> None:
    for name, arguments in REMOVED_ARGUMENTS.items():
        assert not arguments & inspect.signature(class_of(name)).parameters.keys()
        given = dict.fromkeys([*arguments, "context"], 1)
        assert current_arguments(name, given)[1] == {"context": 1}


def test_a_key_that_has_moved_is_read_where_it_was() -> None:
    before = {"model": {"regions_at_once": 16, "context": True}, "seed": 1}
    now = {"model": {"context": True}, "runtime": {"regions_at_once": 16}, "seed": 1}
    assert current_settings(before) == now
    assert before["model"] == {"regions_at_once": 16, "context": True}
    assert current_settings(now) == now
    both = before | {"runtime": {"regions_at_once": "auto", "device": "cpu"}}
    assert current_settings(both)["runtime"] == {"regions_at_once": "auto", "device": "cpu"}
    own = {"model": {"_target_": "mine.Model", "regions_at_once": 16}}
    for odd in (own, {"model": None}, {"model": {}, "runtime": "fast"}):
        assert current_settings(odd) == odd
    assert current_settings(before | {"runtime": "fast"})["runtime"] == "fast"


def test_a_sampling_rule_of_an_earlier_version_is_built() -> None:
    rule = {
        "_target_": "detection.model.rpn.AnchorSampling",
        "per_image": 256,
        "positive_fraction": 0.5,
        "positive_iou": 0.7,
        "negative_iou": 0.3,
        "cross_boundary": False,
        "ignore_coverage": 0.7,
    }
    assert build(rule).divide_by == "sampled"
    assert build(rule | {"divide_by": "drawn"}).divide_by == "sampled"
    assert build(rule | {"divide_by": "per_image"}).divide_by == "per_image"


def test_a_classifiers_lowest_error_is_its_best() -> None:
    assert current_content({"training": {"lowest": 0.25, "iteration": 3}}) == {
        "training": {"best": 0.25, "iteration": 3}
    }
