"""Every key of every command, with values of the wrong kind: a line for each, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from detection.cli.compose import check_values, compose_unchecked
from detection.cli.settings.fields import walk
from detection.cli.settings.table import SETTINGS, settings_of

WRONG: tuple[Any, ...] = ("abc", "", [], [[1]], ["x", 1], True, -5, 2.5, 1e30, float("nan"))


@cache
def composed(config: str) -> DictConfig:
    return compose_unchecked(config, [])


def values(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """The keys of values: not of parts that hold them, nor of what is taken from another key."""
    for key in map(str, node):
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing()):
            yield from values(child, f"{prefix}{key}.")
        elif not key.startswith("_") and not OmegaConf.is_interpolation(node, key):
            yield f"{prefix}{key}"


@pytest.mark.slow
@pytest.mark.parametrize("config", sorted(SETTINGS))
def test_every_wrong_value_has_a_line_of_its_own(config: str) -> None:
    node = settings_of(config)
    assert node is not None
    kinds = dict(walk(node, {}))
    keys = [*values(composed(config))]
    assert keys
    for value in WRONG:
        changed = composed(config).copy()
        for key in keys:
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
        with pytest.raises(ValueError, match=": ") as error:
            check_values(config, changed, [])
        lines = [line.strip() for line in str(error.value).splitlines()[1:]] or [str(error.value)]
        said = {match[1] for line in lines if (match := re.match(r"([^=]+)=.+: .+", line))}
        assert len(said) == len(lines), lines
        numbers = {key for key in keys if key in kinds and kinds[key].type in (int, float)}
        if isinstance(value, (str, list, bool)):
            assert numbers <= said, (value, sorted(numbers - said))
