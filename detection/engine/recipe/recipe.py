"""What rules work on and what they choose; the rules themselves are in rules.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detection.engine.recipe.facts import DataFacts, DeviceFacts

# Of a picture in a step at 480 pixels, on two cores of a Xeon with AVX-512.
_PICTURE_SECONDS = 0.35

# What a rule finds: key -> value, and why, for people; nothing, where it does not apply.
Found = tuple[dict[str, Any], str]


@dataclass(frozen=True)
class Choice:
    """What a rule sets: key -> value; and why, for people."""

    rule: str
    values: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Which rules apply: one for each of `rules.RULES`.

    ``given``: keys that are left alone.  ``epochs``: times over the training pictures; None: from
    their number.  ``initial_weights``: whether some are looked for.
    """

    given: Sequence[str]
    epochs: float | None
    initial_weights: bool
    network: bool
    picture_size: bool
    augmentation: bool
    balance: bool
    anchors: bool
    batch: bool
    rate: bool
    length: bool
    testing: bool
    validation: bool


@dataclass
class Recipe:
    """The facts, what the user has said, and what has been chosen so far.

    ``given``: whether a key is the user's.  ``current``: the value of a key.
    ``starts_from``: detector, backbone or nothing, which training starts from.
    """

    data: DataFacts
    device: DeviceFacts
    starts_from: str
    given: Callable[[str], bool]
    current: Callable[[str], Any]
    choices: list[Choice] = field(default_factory=list)

    def value(self, key: str) -> Any:
        """As the user has said, or else as chosen, or as it stands."""
        if not self.given(key):
            for choice in reversed(self.choices):
                if key in choice.values:
                    return choice.values[key]
        return self.current(key)

    @property
    def cpu_batch(self) -> int:
        """Pictures in a step on a CPU: more steps bring more, but BN that learns needs several."""
        return 8 if self.starts_from == "nothing" else 2

    def times_seen(self) -> float:
        """How often each picture is seen on a CPU, roughly: no step is timed yet."""
        pictures = max(self.data.pictures, 1)
        epochs: float | None = self.current("schedule.recipe.epochs")
        if epochs:
            return epochs
        if self.given("schedule.rules.iterations"):
            size = self.cpu_batch
            if self.given("schedule.batch_size"):
                size = self.current("schedule.batch_size")
            return float(self.current("schedule.rules.iterations") * size / pictures)
        minutes = self.current("minutes") or longest_minutes(pictures)
        return float(60 * minutes / _PICTURE_SECONDS / pictures)


def longest_minutes(pictures: int) -> float:
    """The minutes that a training takes at most: 20, and an hour from 1500 pictures on."""
    return float(np.clip(pictures / 25, 20, 60))
