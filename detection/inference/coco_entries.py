"""Detections as the entries of a COCO results list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detection import boxes as box_ops
from detection.structures import Detections


def coco_entries(detections: Detections, category_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """``category_id``, ``bbox`` [x, y, width, height] in pixels, and ``score`` of each detection.

    ``category_ids[label - 1]``: of each class.
    """
    # Corners are rounded, and not widths: a box that ends at the border of its image stays in it.
    corners = detections.boxes.numpy().astype(np.float64).round(3)
    for box, score, label in zip(
        box_ops.to_coco(corners).round(3).tolist(),
        detections.scores.tolist(),
        detections.labels.tolist(),
        strict=True,
    ):
        yield {"category_id": category_ids[label - 1], "bbox": box, "score": score}


def to_results(
    detections: Detections, image_id: int, category_ids: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """The detections of one image as entries of a COCO results list."""
    for entry in coco_entries(detections, category_ids):
        yield {"image_id": image_id, **entry}
