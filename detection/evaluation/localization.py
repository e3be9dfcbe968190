"""The errors of ImageNet localisation (Russakovsky et al. 2015, 4.2; He et al. 2015, appendix C).

An algorithm names up to five pairs of a class and a box for an image, which shows objects of one
class.  The image is wrong if no pair has that class and a box that overlaps one of the objects with
an IoU of 0.5 or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops

IOU = 0.5
# The sides of constant boxes that are tried, as fractions of those of the image.
_FRACTIONS = np.linspace(0.05, 1, 20)

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """M images: ``classes`` int64 [M]; of each image the boxes [G, 4], G > 0, and (height, width).

    The boxes are in pixels of images of these sizes.
    """

    classes: NDArray[np.int64]
    boxes: Sequence[Boxes]
    sizes: Sequence[tuple[int, int]]


def is_wrong(truth: Truth, classes: NDArray[np.int64], boxes: Boxes) -> NDArray[np.bool_]:
    """bool [M].  Of each image the pairs: ``classes`` [M, K], and ``boxes`` [M, K, 4]."""
    right_class = classes == truth.classes[:, None]
    wrong = [
        not (overlaps(own, objects) & right).any()
        for own, objects, right in zip(boxes, truth.boxes, right_class, strict=True)
    ]
    return np.array(wrong, dtype=bool)


def overlaps(boxes: Boxes, objects: Boxes) -> NDArray[np.bool_]:
    """Boxes [K, 4], objects [G, 4] -> bool [K]: whether a box overlaps one of them enough."""
    first, second = (torch.from_numpy(np.asarray(b, dtype=np.float64)) for b in (boxes, objects))
    return np.asarray((box_ops.iou(first, second) >= IOU).any(dim=1).numpy(), dtype=bool)


def centred_box(truth: Truth) -> tuple[float, float]:
    """(error, fraction) of the best constant box in the centre, with the class known.

    ``fraction``: its sides, as parts of the sides of the image.  A network that has learnt anything
    is better.
    """
    wrong = np.empty((len(truth.classes), len(_FRACTIONS)), dtype=bool)
    for row, objects, (height, width) in zip(wrong, truth.boxes, truth.sizes, strict=True):
        centre = np.array((width, height, width, height), dtype=np.float32) / 2
        reach = np.array((-1, -1, 1, 1), dtype=np.float32) * centre
        row[:] = ~overlaps((centre + _FRACTIONS[:, None] * reach).astype(np.float32), objects)
    errors = wrong.mean(axis=0)
    best = int(errors.argmin())
    return float(errors[best]), round(float(_FRACTIONS[best]), 2)
