"""A few pictures of the validation set, always the same: how detections change while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detection.data.dataset import DetectionDataset, Example
from detection.engine.drawn_pair import draw_pair
from detection.engine.validation import DetectionValidation
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.image import Image

SHOWN = (480, 640)  # of a picture's longer side, in pixels
MIN_SCORE = 0.3  # below what people want: a training begins with low scores


@dataclass(frozen=True)
class ValidationPictures:
    """``count``: of the pictures."""

    validation: DetectionValidation
    count: int

    def __call__(self) -> dict[str, Image]:
        """Of the last validation: name -> the objects (dashed) beside the detections."""
        measured = self.validation.last()
        dataset = self.validation.dataset
        pictures = {}
        for number, example in enumerate(choose(dataset, self.count), start=1):
            found = _of(example, measured.detections if measured else [])
            pair = draw_pair(example, found, dataset, min_score=MIN_SCORE, shown=SHOWN)
            width = 2 * pair[0].shape[1] + 16
            name = f"pictures/{number}_{example.path.stem}"
            pictures[name] = contact_sheet(pair, columns=2, width=width)
        return pictures


def choose(dataset: DetectionDataset, count: int) -> list[Example]:
    """Evenly from those with objects, in the data set's order; at most ``count``."""
    full = [example for example in dataset.examples if len(example.boxes)]
    count = min(count, len(full))
    return [full[index * len(full) // count] for index in range(count)]


def _of(example: Example, detections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for found in detections if found["image_id"] == example.image_id]
