"""Anchors out of the boxes' own sizes, and how many boxes anchors reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# An anchor is positive from this IoU on (Ren et al. 2015); the best one of a box is in any case.
REACHED = 0.7
# Between neighbouring sizes; the paper has 2.
_STEP = 2.0
_MOST_SIZES = 5
_SMALLEST = 16  # a cell of the feature map


def shape_recall(
    boxes: NDArray[np.float64], sizes: Sequence[float], ratios: Sequence[float]
) -> float:
    """The share of ``boxes`` [G, 2] that an anchor at their centre overlaps by 0.7."""
    return float((_best_iou(boxes, sizes, ratios) >= REACHED).mean()) if len(boxes) else 0.0


def mean_overlap(
    boxes: NDArray[np.float64], sizes: Sequence[float], ratios: Sequence[float]
) -> float:
    """The mean of the best IoU with an anchor at the centre, which moves with every box."""
    return float(_best_iou(boxes, sizes, ratios).mean()) if len(boxes) else 0.0


def _best_iou(
    boxes: NDArray[np.float64], sizes: Sequence[float], ratios: Sequence[float]
) -> NDArray[np.float64]:
    shapes = np.array([(size * r**0.5, size / r**0.5) for size in sizes for r in ratios])
    common = np.minimum(boxes[:, None], shapes[None]).prod(axis=2)
    union = boxes.prod(axis=1)[:, None] + shapes.prod(axis=1)[None] - common
    best: NDArray[np.float64] = (common / union).max(axis=1)
    return best


def fit_anchors(boxes: NDArray[np.float64]) -> tuple[list[int], list[float]]:
    """(sizes, height/width ratios) that span the middle 90 % of ``boxes`` [G, 2] (height, width).

    Sizes in equal steps of at most 2, as few as do; three ratios.  In logarithms: what counts is
    how many times larger one is than another.
    """
    roots = np.log(np.sqrt(boxes.prod(axis=1)))
    low, high = np.quantile(roots, (0.05, 0.95))
    low = max(low, np.log(_SMALLEST))
    high = max(high, low)
    number = int(np.clip(np.ceil((high - low) / np.log(_STEP)) + 1, 3, _MOST_SIZES))
    if high - low < np.log(_STEP):  # all much alike: still a size below and one above
        middle = (low + high) / 2
        low, high = middle - np.log(_STEP) / 2, middle + np.log(_STEP) / 2
    sizes = [max(1, round(float(size))) for size in np.exp(np.linspace(low, high, number))]
    shapes = np.log(boxes[:, 0] / boxes[:, 1])
    ratios = sorted({round(float(np.exp(q)), 2) for q in np.quantile(shapes, (0.1, 0.5, 0.9))})
    return sizes, [max(ratio, 0.05) for ratio in ratios]
