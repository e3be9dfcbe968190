"""A detector over large pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.inference.detector import Detector
from detection.inference.tiles import TiledDetector
from detection.structures import Detections

MakeImage = Callable[[int, int], np.ndarray]


class Bright:
    """Finds the bright rectangles of a picture that are as large as the network needs them."""

    def __init__(self, like: Detector, smallest: int) -> None:
        self.inference, self._smallest = like.inference, smallest
        self.shapes: list[tuple[int, int]] = []

    def preparation(self, image: np.ndarray) -> list[np.ndarray]:
        return [image]

    def detect_prepared(self, images: list[list[np.ndarray]], sizes: Any) -> list[Detections]:
        self.shapes += sizes
        return [self._find(image) for (image,) in images]

    def _find(self, image: np.ndarray) -> Detections:
        found = cv2.connectedComponentsWithStats((image[..., 0] > 128).astype(np.uint8))[2][1:]
        # One that was shrunk too much is not seen.
        least = self._smallest * max(1, max(image.shape) / 400)
        boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in found.tolist() if min(w, h) >= least]
        return Detections(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.full((len(boxes),), 0.9),
            torch.ones(len(boxes), dtype=torch.int64),
        )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pictures_no_larger_than_a_tile_are_seen_as_without(
    make: Callable[..., Detector], noise: MakeImage, batch_size: int
) -> None:
    detector = make(voting_iou=0.5)
    images = [noise(96, 128), noise(90, 128)]
    tiled = TiledDetector(detector, tile=128, overlap=0.25, batch_size=batch_size)
    for found, expected in zip(tiled(images), detector.detect_arrays(images), strict=True):
        assert len(expected) > 0
        assert torch.equal(found.boxes, expected.boxes)
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.labels, expected.labels)


def test_small_objects_of_a_large_picture_are_found_at_their_places(
    make: Callable[..., Detector],
) -> None:
    image = np.zeros((1000, 1700, 3), np.uint8)
    boxes = [[30, 40, 60, 70], [380, 290, 420, 330], [690, 590, 730, 640], [1650, 960, 1700, 1000]]
    boxes.append([800, 100, 1600, 500])  # larger than a tile
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    whole = Bright(make(), smallest=20)
    (missed,) = whole.detect_prepared([[image]], [image.shape[:2]])
    assert len(missed) == 1
    whole.shapes.clear()
    tiled = TiledDetector(whole, tile=400, overlap=0.25, batch_size=4)  # type: ignore[arg-type]
    (found,) = tiled([image])
    assert sorted(found.boxes.tolist()) == sorted([float(v) for v in box] for box in boxes)
    assert whole.shapes.count((400, 400)) == 3 * 6
    assert len(whole.shapes) == 3 * 6 + 1


def test_a_real_network_sees_a_large_picture_and_stays_inside(
    make: Callable[..., Detector], noise: MakeImage
) -> None:
    detector = make(voting_iou=0.5)
    (found,) = TiledDetector(detector, tile=100, overlap=0.3, batch_size=2)([noise(130, 250)])
    assert 0 < len(found) <= 20
    assert found.boxes.min() >= 0
    assert (found.boxes <= torch.tensor([250.0, 130, 250, 130])).all()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tile": 16}, "tile must be a number of pixels, 32 or more, got 16"),
        ({"tile": "big"}, "tile must be a number of pixels"),
        ({"overlap": 0.9}, r"tile_overlap must lie in \[0, 0.5\], got 0.9"),
    ],
)
def test_impossible_tiles_are_refused(
    make: Callable[..., Detector], setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TiledDetector(make(), **{"tile": 100, "overlap": 0.25} | setting)


def test_a_post_processing_that_cannot_be_divided_is_refused(make: Callable[..., Detector]) -> None:
    class SoftNMS:
        def __call__(self, predictions: Any) -> Any: ...

    detector = make()
    detector.inference = replace(detector.inference, post_processing=SoftNMS())
    with pytest.raises(ValueError, match=r"SoftNMS, does not give; leave tile= out"):
        TiledDetector(detector, tile=100, overlap=0.25)
