"""Crops of the objects in a detection data set: a small data set for a classifier."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection.boxes import iou
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image

GROUND = "ground"
# The RPN's: an anchor that overlaps every object by less is one of the background.
_GROUND_IOU = 0.3
_TRIES = 20


def object_crops(
    dataset: DetectionDataset,
    *,
    side: int,
    context: tuple[float, float],
    per_object: int,
    ground_per_object: int,
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Square crops uint8 [M, side, side, 3], BGR, and classes int64 [M], 0 ... C.

    ``context``: (least, most), the side of a crop relative to the longer side of the box; it is
    sampled for each crop, and so is the position of the box in it.  From crops with every object in
    the centre and alone, a classifier would learn features that whole images do not have.
    ``per_object``: number of crops of each object.
    ``ground_per_object``: for each object, so many crops of its picture's ground, with parts of
    objects at most; they are class C.  From objects alone, a classifier would learn features in
    which bare ground looks like one of them.
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
                crops.append(_crop(image, _around(box, random.uniform(*context), random), side))
                classes.append(label - 1)
        for box in np.repeat(example.boxes[wanted], ground_per_object, axis=0):
            window = random.uniform(*context) * (box[2:] - box[:2]).max()
            ground = _ground(example, window, random)
            if ground is not None:
                crops.append(_crop(image, ground, side))
                classes.append(len(dataset.class_names))
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
    ground_per_object: int,
    seed: int,
) -> int:
    """Writes `object_crops` as ``folder/<class>/<number>.png``; returns their number."""
    crops, classes = object_crops(
        dataset,
        side=side,
        context=context,
        per_object=per_object,
        ground_per_object=ground_per_object,
        seed=seed,
    )
    names = (*dataset.class_names, GROUND)
    for number, (crop, label) in enumerate(zip(crops, classes.tolist(), strict=True)):
        path = folder / names[label] / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), crop):
            raise ValueError(f"{path}: cannot be written")
    return len(crops)


Window = tuple[float, float, float]  # left, top, side


def _around(box: NDArray[np.float32], context: float, random: np.random.Generator) -> Window:
    corner, extent = box[:2], box[2:] - box[:2]
    window = context * extent.max()
    left, top = corner - random.uniform(0, 1, size=2) * (window - extent)
    return left, top, window


def _ground(example: Example, window: float, random: np.random.Generator) -> Window | None:
    """One within the picture that the RPN would take for ground; None if none was met with."""
    height, width = example.size
    if window > min(height, width):
        return None
    boxes = torch.from_numpy(example.boxes)
    for _ in range(_TRIES):
        left, top = random.uniform(0, width - window), random.uniform(0, height - window)
        crop = torch.tensor([[left, top, left + window, top + window]], dtype=boxes.dtype)
        if (iou(crop, boxes) < _GROUND_IOU).all():
            return left, top, window
    return None


def _crop(image: NDArray[np.uint8], window: Window, side: int) -> NDArray[np.uint8]:
    left, top, extent = window
    scale = side / extent
    matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
    crop = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)
