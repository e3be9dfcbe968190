"""A picture of a data set, drawn twice: as it is labelled, and with what was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from detection import boxes as box_ops
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.structures import Detections, Target
from detection.visualization.draw import draw_detections, draw_target
from detection.visualization.image import Image

if TYPE_CHECKING:  # who only asks for the names of drawn files does without the metrics
    from detection.evaluation.coco_arrays import Detection

WHITE = (255, 255, 255)


def draw_pair(
    example: Example,
    found: Sequence[Detection],
    dataset: DetectionDataset,
    *,
    min_score: float,
    shown: tuple[int, int],
) -> tuple[Image, Image]:
    """``example``'s objects (dashed), and the detections from ``min_score`` on: of one size.

    ``shown``: the shortest and the longest that a picture's longer side is drawn, in pixels: others
    are made larger or smaller, for the eye.  Raises FileNotFoundError or ValueError for a picture
    that cannot be read.
    """
    image = read_image(example.path)
    longer = max(image.shape[:2])
    scale = min(max(longer, shown[0]), shown[1]) / longer
    size = tuple(max(1, round(side * scale)) for side in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)
    height, width = size
    labels = {category: label for label, category in enumerate(dataset.category_ids, start=1)}
    found = sorted(found, key=lambda detection: -float(detection["score"]))
    boxes = np.array([d["bbox"] for d in found], np.float32).reshape(-1, 4)
    detections = Detections(
        boxes=box_ops.rescale(
            torch.from_numpy(box_ops.from_coco(boxes)), example.size, (height, width)
        ),
        scores=torch.tensor([d["score"] for d in found], dtype=torch.float32),
        labels=torch.tensor([labels[d["category_id"]] for d in found], dtype=torch.int64),
    )
    target = Target(
        boxes=box_ops.rescale(torch.from_numpy(example.boxes), example.size, (height, width)),
        labels=torch.from_numpy(example.labels),
        ignored=torch.from_numpy(example.crowd | example.difficult),
    )
    names = dataset.class_names
    left = draw_target(resized, target, names)
    right = draw_detections(resized, detections, names, min_score=min_score)
    higher = max(len(left), len(right))  # by its legend
    return _padded(left, higher), _padded(right, higher)


def _padded(image: Image, height: int) -> Image:
    missing = height - len(image)
    if not missing:
        return image
    padded = cv2.copyMakeBorder(image, 0, missing, 0, 0, cv2.BORDER_CONSTANT, value=WHITE)
    return np.asarray(padded, np.uint8)
