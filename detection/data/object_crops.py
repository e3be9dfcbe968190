"""The objects of a detection data set, cut out: a small classification data set."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset
from detection.data.image import read_image


def object_crops(
    dataset: DetectionDataset, *, side: int, context: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Square crops uint8 [M, side, side, 3], BGR, and classes int64 [M], 0 ... C - 1.

    ``context``: side of a crop in units of the longer side of its box.  What lies outside the
    image repeats its edge.  Crowds and difficult objects are left out.
    """
    crops, classes = [], []
    for example in dataset.examples:
        image = read_image(example.path)
        wanted = ~(example.crowd | example.difficult)
        for box, label in zip(example.boxes[wanted], example.labels[wanted], strict=True):
            crops.append(_crop(image, box, side, context))
            classes.append(label - 1)
    if not crops:
        raise ValueError(f"{dataset.source}: no objects to cut out")
    return np.stack(crops), np.array(classes, dtype=np.int64)


def _crop(
    image: NDArray[np.uint8], box: NDArray[np.float32], side: int, context: float
) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = box.tolist()
    scale = side / (context * max(x2 - x1, y2 - y1))
    # Maps the centre of the box to the centre of the crop.
    matrix = np.array(
        [
            [scale, 0, side / 2 - scale * (x1 + x2) / 2],
            [0, scale, side / 2 - scale * (y1 + y2) / 2],
        ]
    )
    crop = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)
