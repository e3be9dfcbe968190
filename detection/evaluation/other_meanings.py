"""What detections may mean other than what the format says: ids numbered otherwise, other units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import DetectionArrays, GroundTruth, Objects
from detection.evaluation.voc_ap import match_detections

# An assumption explains an AP of 0 if so many of the detections are right under it.
EXPLAINS = 0.2
FOUND = 0.5  # IoU, as VOC's


def assumptions(
    objects: Objects, found: DetectionArrays, sizes: NDArray[np.float64]
) -> Iterator[tuple[str, DetectionArrays]]:
    """What may be meant otherwise, in words, and the detections under it."""
    boxes = found.boxes
    if len(boxes) and np.abs(boxes).max() <= 2:
        scaled = boxes * np.tile(sizes[found.images], 2)
        yield (
            "the boxes are parts of the picture's size (0 to 1) but must be pixels; multiply them "
            "by width and height",
            replace(found, boxes=scaled),
        )
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    if (corners[:, 2:] >= 0).all():
        yield (
            "the boxes are two corners (x1, y1, x2, y2) but must be [x, y, width, height]",
            replace(found, boxes=corners),
        )
    centred = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
    yield (
        "the boxes have x and y at their centre, but must have them at the upper left corner",
        replace(found, boxes=centred),
    )
    for step in (1, -1):
        side = "above" if step < 0 else "below"
        images = _shifted(objects.image_index, found.images, step)
        yield (
            f"the image ids are {side} those of the annotations by 1",
            _where(replace(found, images=images), images >= 0),
        )
        classes = _shifted(objects.class_index, found.classes, step)
        yield (
            f"the category ids are {side} those of the annotations by 1 (a network counts its "
            "classes from 0 or 1; the data set has its own ids)",
            _where(replace(found, classes=classes), classes >= 0),
        )
    one = np.zeros_like(found.classes)
    as_one = replace(objects, classes=np.zeros_like(objects.classes))
    share = share_right(as_one, replace(found, classes=one))
    if share >= EXPLAINS:
        # Boxes are right and classes are not: each detection takes the class of what it is on.
        yield (
            "the boxes are right and their classes are not: the category ids are numbered "
            "otherwise; write class_name into each record, or use the data set's ids",
            _with_classes_of_objects(objects, found),
        )


def _with_classes_of_objects(objects: Objects, found: DetectionArrays) -> DetectionArrays:
    """The detections with, of all classes, the one under which most of them are right."""
    assigned = found.classes.copy()
    for given in np.unique(found.classes):
        own = found.classes == given
        rights = [
            share_right(objects, replace(_where(found, own), classes=np.full(own.sum(), number)))
            for number in range(len(objects.class_names))
        ]
        assigned[own] = int(np.argmax(rights))
    return replace(found, classes=assigned)


def share_right(objects: Objects, found: DetectionArrays, *, of: int | None = None) -> float:
    """How many of the detections find an object, as a part of those that could.

    ``of``: how many detections there were, where some are left out.
    """
    if not len(found.scores):
        return 0.0
    ranked = best(found, len(found.scores))
    correct = match_detections(objects, ranked, FOUND).correct.sum()
    could = min(of or len(found.scores), sum(objects.count()))
    return float(correct / max(1, could))


def best(found: DetectionArrays, most: int) -> DetectionArrays:
    return _where(found, np.argsort(-found.scores, kind="stable")[:most])


def _where(found: DetectionArrays, which: NDArray[np.bool_] | NDArray[np.intp]) -> DetectionArrays:
    return DetectionArrays(
        images=found.images[which],
        classes=found.classes[which],
        boxes=found.boxes[which],
        scores=found.scores[which],
    )


def _shifted(index: dict[int, int], numbers: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """[N] -> [N]: of what has the id that is larger by ``step``; -1 if nothing has."""
    shifted = np.array([index.get(key + step, -1) for key in index], dtype=np.int64)
    return shifted[numbers]


def sizes(ground_truth: GroundTruth, objects: Objects) -> NDArray[np.float64]:
    """float64 [I, 2], width and height of each picture; NaN where it is not said."""
    sizes = np.full((len(objects.image_index), 2), np.nan)
    for image in ground_truth["images"]:
        sizes[objects.image_index[image["id"]]] = (
            image.get("width") or np.nan,
            image.get("height") or np.nan,
        )
    return sizes
