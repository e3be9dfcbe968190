"""The objects of a detection data set, cut out: a small data set for a classifier."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset
from detection.data.image import read_image


def object_crops(
    dataset: DetectionDataset,
    *,
    side: int,
    context: tuple[float, float],
    per_object: int,
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Square crops uint8 [M, side, side, 3], BGR, and classes int64 [M], 0 ... C - 1.

    ``context``: the least and the most that the side of a crop is, in units of the longer side of
    its box; drawn for each crop, like the place of the box within it.  Crops that always show an
    object centred and alone would teach features that a whole image does not have.
    ``per_object``: crops of each object.  What lies outside the image repeats its edge.  Crowds and
    difficult objects are left out.
    """
    random = np.random.default_rng(seed)
    crops, classes = [], []
    for example in dataset.examples:
        image = read_image(example.path)
        wanted = ~(example.crowd | example.difficult) & example.has_area
        for box, label in zip(example.boxes[wanted], example.labels[wanted], strict=True):
            for _ in range(per_object):
                crops.append(_crop(image, box, side, random.uniform(*context), random))
                classes.append(label - 1)
    if not crops:
        raise ValueError(f"{dataset.source}: no objects to cut out")
    return np.stack(crops), np.array(classes, dtype=np.int64)


def write_object_crops(
    dataset: DetectionDataset,
    folder: Path,
    *,
    side: int,
    context: tuple[float, float],
    per_object: int,
    seed: int,
) -> int:
    """:func:`object_crops` as ``folder/<class>/<number>.png``; returns how many there are."""
    crops, classes = object_crops(
        dataset, side=side, context=context, per_object=per_object, seed=seed
    )
    for number, (crop, label) in enumerate(zip(crops, classes.tolist(), strict=True)):
        path = folder / dataset.class_names[label] / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), crop):
            raise ValueError(f"{path}: cannot be written")
    return len(crops)


def _crop(
    image: NDArray[np.uint8],
    box: NDArray[np.float32],
    side: int,
    context: float,
    random: np.random.Generator,
) -> NDArray[np.uint8]:
    corner, extent = box[:2], box[2:] - box[:2]
    window = context * extent.max()
    upper_left = corner - random.uniform(0, 1, size=2) * (window - extent)
    scale = side / window
    matrix = np.array([[scale, 0, -scale * upper_left[0]], [0, scale, -scale * upper_left[1]]])
    crop = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)
