"""What drawing hides of the objects that it marks, and what it does to any picture."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detection.structures import Detections, Target
from detection.visualization.draw import draw_detections, draw_target
from detection.visualization.image import Image

NAMES = ["aeroplane", "bird", "bottle", "cat", "dining table", "dog", "person", "sofa"]
GREY = 128  # none of the colours


def scene(
    rng: np.random.Generator, size: tuple[int, int], count: int, sides: tuple[float, float]
) -> Detections:
    """Objects of these sides in pixels, anywhere in a picture of (height, width)."""
    extents = rng.uniform(*sides, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(size[::-1]) - extents)
    return Detections(
        torch.from_numpy(np.concatenate((corners, corners + extents), axis=1)).float(),
        torch.linspace(0.99, 0.5, count),
        torch.from_numpy(rng.integers(1, len(NAMES) + 1, count)),
    )


def hidden(drawn: Image, boxes: Tensor) -> list[float]:
    """The share of each object's pixels that something is drawn on."""
    return [
        float((drawn[y1:y2, x1:x2] != GREY).any(axis=2).mean())
        for x1, y1, x2, y2 in boxes.round().int().tolist()
    ]


@pytest.mark.parametrize(
    ("size", "count", "sides", "most", "usual"),
    [
        ((480, 640), 100, (6, 24), 0.5, 0.02),
        ((800, 1333), 100, (6, 40), 0.5, 0.02),
        # These overlap: together they are larger than the picture.
        ((480, 640), 40, (6, 200), 0.6, 0.3),
        pytest.param((3000, 4000), 60, (20, 60), 0.3, 0.02, marks=pytest.mark.slow),
        pytest.param((6000, 9000), 60, (20, 60), 0.3, 0.02, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("truth", [False, True])
def test_no_object_is_hidden(
    size: tuple[int, int],
    count: int,
    sides: tuple[float, float],
    most: float,
    usual: float,
    truth: bool,
) -> None:
    """Lines that grew with the picture, and tags over them, hid 60 of 60 of the largest ones."""
    image = np.full((*size, 3), GREY, np.uint8)
    for seed in range(1 if size[0] > 1000 else 3):
        found = scene(np.random.default_rng(seed), size, count, sides)
        if truth:
            target = Target(found.boxes, found.labels, torch.zeros(count, dtype=torch.bool))
            drawn = draw_target(image, target, NAMES)
        else:
            drawn = draw_detections(image, found, NAMES, min_score=0)
        shares = hidden(drawn, found.boxes)
        assert max(shares) <= most
        assert np.median(shares) <= usual


def test_the_measure_sees_what_hides() -> None:
    image = np.full((50, 50, 3), GREY, np.uint8)
    image[10:15, 10:20] = 0
    boxes = torch.tensor([[10.0, 10, 20, 20], [30, 30, 40, 40]])
    assert hidden(image, boxes) == [0.5, 0]


def test_every_small_object_has_a_line_around_it() -> None:
    found = scene(np.random.default_rng(0), (480, 640), 60, (6, 24))
    drawn = draw_detections(np.full((480, 640, 3), GREY, np.uint8), found, NAMES, min_score=0)
    for x1, y1, x2, y2 in found.boxes.round().int().tolist():
        around = drawn[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2]
        assert (around != GREY).any(axis=2).sum() >= (x2 - x1) + (y2 - y1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    count=st.integers(0, 40),
    largest=st.sampled_from([2.0, 30.0, 400.0]),
    seed=st.integers(0, 1000),
)
def test_any_picture_is_drawn_on(
    height: int, width: int, count: int, largest: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    extents = rng.uniform(0, largest, (count, 2))
    corners = rng.uniform(-10, 310, (count, 2))  # some lie outside
    found = Detections(
        torch.from_numpy(np.concatenate((corners, corners + extents), axis=1)).float(),
        torch.linspace(0.9, 0.1, count),
        torch.from_numpy(rng.integers(1, len(NAMES) + 1, count)),
    )
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    drawn = draw_detections(image, found, NAMES, min_score=0)
    assert np.array_equal(image, before)
    assert drawn.dtype == np.uint8
    assert drawn.shape[1:] == (width, 3)
    assert height <= drawn.shape[0] <= 1.5 * height


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (480, 640), (6000, 9000)])
def test_five_hundred_boxes_take_no_long_time(size: tuple[int, int]) -> None:
    sides = (1.0, min(max(1.0, min(size) / 4), 200.0))
    found = scene(np.random.default_rng(0), size, 500, sides)
    image = np.full((*size, 3), GREY, np.uint8)
    began = time.process_time()
    draw_detections(image, found, NAMES, min_score=0)
    assert time.process_time() - began < 10  # about half a second
