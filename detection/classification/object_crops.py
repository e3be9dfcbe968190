"""Crops of the objects in a detection data set: a small data set for a classifier."""

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

    ``context``: (least, most), the side of a crop relative to the longer side of the box; it is
    sampled for each crop, and so is the position of the box in it.  From crops with every object in
    the centre and alone, a classifier would learn features that whole images do not have.
    ``per_object``: number of crops of each object.
    Outside the image, its edge is repeated.  Crowds and difficult objects are left out.
    Raises ValueError if there are no objects.
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
        raise ValueError(f"{dataset.source}: no objects to crop")
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
    """Writes `object_crops` as ``folder/<class>/<number>.png``; returns their number."""
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
