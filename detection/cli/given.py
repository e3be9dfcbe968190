"""What the user has said: one or several texts; keys that ``schedule=auto`` leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf


def leave_alone(composed: DictConfig, keys: Iterable[str]) -> None:
    """Tells the recipe of ``schedule=auto``, where there is one, which keys are the user's."""
    recipe = OmegaConf.select(composed, "schedule.recipe", throw_on_missing=False)
    if recipe is not None:
        own = (key for key in keys if not key.startswith("schedule.recipe"))
        recipe.given = list(dict.fromkeys([*recipe.given, *own]))


def texts(given: Any) -> list[str]:
    """A text, or a list of them, of the configuration -> a list."""
    return [given] if isinstance(given, str) else list(given)
