"""How far the outputs of two networks agree."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Detections


def agreement(ours: Sequence[Detections], theirs: Sequence[Detections]) -> float:
    """The fraction of all detections, in [0, 1], that the other network has too.

    That is: one of the same class, with an IoU of 0.9 or more, and a score within 0.02.
    """
    found = total = 0
    for a, b in zip(ours, theirs, strict=True):
        same = (
            (box_ops.iou(a.boxes, b.boxes) >= 0.9)
            & (a.labels[:, None] == b.labels[None])
            & ((a.scores[:, None] - b.scores[None]).abs() <= 0.02)
        )
        found += int(same.any(dim=1).sum()) + int(same.any(dim=0).sum())
        total += len(a) + len(b)
    return found / total if total else 1.0


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest absolute difference over the largest absolute value of ``theirs``."""
    difference = (ours.double() - theirs.double()).abs().max()
    return float(difference / theirs.double().abs().max().clamp(min=1e-12))
