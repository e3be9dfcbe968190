"""The curves of a training: the lines of its log as series that a page can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from detection.report.content import Series, Training
from detection.structures import Losses

# Of a longer log as many neighbours are averaged as it takes.
MOST_POINTS = 400
LOSSES = ("total", *(field.name for field in fields(Losses)))
# What a validation says of the machine, not of the model.
_COSTS = "seconds_per_image"


def training_curves(lines: Sequence[Mapping[str, Any]]) -> Training | None:
    """``lines``: of log.jsonl.  None where nothing was trained.

    The best validation is that with the highest AP; of equals the first.
    """
    train = [line for line in lines if line.get("kind") == "train"]
    validations = [line for line in lines if line.get("kind") == "validation"]
    if not train:
        return None
    names = dict.fromkeys(
        name
        for line in validations
        for name, value in line.items()
        if name not in ("iteration", "kind", _COSTS) and isinstance(value, (int, float))
    )
    measured = [line for line in validations if line.get("AP") is not None]
    best = max(measured, key=lambda line: line["AP"], default=None)
    return Training(
        losses=[_series(name, train) for name in LOSSES if any(name in line for line in train)],
        rate=_series("learning_rate", train),
        validation=[_series(name, validations, most=len(validations)) for name in names],
        best=None if best is None else int(best["iteration"]),
    )


def _series(name: str, lines: Sequence[Mapping[str, Any]], *, most: int = MOST_POINTS) -> Series:
    there = [line for line in lines if line.get(name) is not None]
    together = max(1, -(-len(there) // most))
    groups = [there[start : start + together] for start in range(0, len(there), together)]
    return Series(
        name=name.replace("_", " "),
        iterations=[int(group[-1]["iteration"]) for group in groups],
        values=[float(np.mean([line[name] for line in group])) for group in groups],
    )
