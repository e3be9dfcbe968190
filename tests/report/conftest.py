"""Scenes of random boxes in pictures of 200 x 200 pixels."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example

NAMES = ("cat", "dog", "owl")
# Not in the order of the names, and with gaps.
IDS = (30, 7, 12)
Scene = tuple[DetectionDataset, list[dict[str, Any]]]


def random_scene(
    images: int = 12,
    seed: int = 0,
    *,
    crowd: float = 0.0,
    difficult: float = 0.0,
    names: tuple[str, ...] = NAMES,
    folder: Path = Path("/nowhere"),
) -> Scene:
    """Objects, and about two detections of each: right, loose, of another class, or of nothing.

    Whole numbers of Python's generator, which every version draws alike.  Scores differ.
    """
    drawn = random.Random(seed)
    examples, detections = [], []
    for image_id in range(1, images + 1):
        boxes, labels, flags = [], [], []
        for _ in range(drawn.randrange(5)):
            box = [drawn.randrange(120), drawn.randrange(120), *(drawn.randrange(8, 80),) * 2]
            label = drawn.randrange(len(names)) + 1
            boxes.append([float(side) for side in box])
            labels.append(label)
            flags.append((drawn.random() < crowd, drawn.random() < difficult))
            for _ in range(drawn.randrange(4)):
                noise = drawn.choice((0, 2, 8, 20))
                moved = [side + drawn.randint(-noise, noise) for side in box]
                other = drawn.randrange(len(names)) + 1
                detections.append((image_id, drawn.choice((label, label, other)), moved))
        for _ in range(drawn.randrange(3)):
            box = [drawn.randrange(150), drawn.randrange(150), 30, 30]
            detections.append((image_id, drawn.randrange(len(names)) + 1, box))
        examples.append(_example(image_id, boxes, labels, flags, folder))
    scores = drawn.sample(range(1, 1000), len(detections))
    found = [
        {
            "image_id": image_id,
            "category_id": IDS[label - 1],
            "bbox": [float(x), float(y), float(max(1, w)), float(max(1, h))],
            "score": score / 1000,
        }
        for (image_id, label, (x, y, w, h)), score in zip(detections, scores, strict=True)
    ]
    return DetectionDataset(names, IDS[: len(names)], examples, folder / "instances.json"), found


def _example(
    image_id: int,
    boxes: list[list[float]],
    labels: list[int],
    flags: list[tuple[bool, bool]],
    folder: Path,
) -> Example:
    annotated = np.array(boxes, np.float64).reshape(-1, 4)
    corners = np.concatenate((annotated[:, :2], annotated[:, :2] + annotated[:, 2:]), axis=1)
    both = np.array(flags, np.bool_).reshape(-1, 2)
    return Example(
        image_id=image_id,
        path=folder / f"{image_id}.jpg",
        size=(200, 200),
        boxes=np.clip(corners, 0, 200).astype(np.float32),
        labels=np.array(labels, np.int64),
        crowd=both[:, 0],
        difficult=both[:, 1],
        annotated=annotated,
        areas=annotated[:, 2] * annotated[:, 3],
    )


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    """:func:`random_scene`."""
    return random_scene


@pytest.fixture
def drawn_scene(tmp_path: Path) -> Callable[..., Scene]:
    """:func:`random_scene`, whose pictures are there: noise."""

    def draw(**arguments: Any) -> Scene:
        dataset, detections = random_scene(folder=tmp_path, **arguments)
        noise = np.random.default_rng(0)
        for example in dataset.examples:
            picture = noise.integers(0, 256, (*example.size, 3), dtype=np.uint8)
            cv2.imwrite(str(example.path), picture)
        return dataset, detections

    return draw
