"""A training that goes wrong: losses and weights that are not finite, losses that are zero."""

from __future__ import annotations

import logging
import math
from collections.abc import Set
from typing import Any

from torch import nn

from detection.damage import not_finite
from detection.engine.schedules import Schedule

logger = logging.getLogger("train")


def check_loss(values: dict[str, Any], done: int, learning_rate: Schedule) -> None:
    # Empty right after a line of the log, for which they have been checked.
    if not math.isfinite(values.get("total", 0.0)):
        raise FloatingPointError(
            f"the loss is {values['total']} at iteration {done} ({learning_rate}): training has "
            "diverged. Lower schedule.learning_rate.reference, lengthen "
            "schedule.learning_rate.warmup_iterations or set schedule.rules.clip_norm; the last "
            "checkpoint is as it was"
        )


def say_zeros(values: dict[str, Any], names: Set[str], done: int) -> set[str]:
    """Those of the losses that were exactly 0 since the last line of the log: nothing is learnt."""
    zeros = {name for name in names if values[name] == 0}
    if zeros:
        logger.warning(
            "%s exactly 0 up to iteration %d: nothing is learnt there; look at the boxes, "
            "model.rpn.anchors.sizes and model.rpn.sampling.cross_boundary",
            " and ".join(sorted(zeros)) + (" was" if len(zeros) == 1 else " were"),
            done,
        )
    return zeros


def check_weights(network: nn.Module, done: int) -> None:
    """A step can leave them so while its loss, of the weights before it, is finite."""
    bad = not_finite(network.state_dict())
    if bad:
        raise FloatingPointError(
            f"{bad[0]} is not finite after iteration {done} ({len(bad)} tensors in all), although "
            "the loss was: training has diverged. Lower schedule.learning_rate.reference or set "
            "schedule.rules.clip_norm; the last checkpoint is as it was"
        )
