"""Where views lie in their images: the boxes of one are those of the other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.classification.crops import (
    CentreCrop,
    FullyConvolutionalViews,
    ScaleCrop,
    TenCrop,
    Views,
)
from detection.classification.place import Place

SIZE = (40, 60)


def with_square(top: int, left: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A white square on black, and its box."""
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    image[top : top + side, left : left + side] = 255
    return image, np.array([(left, top, left + side, top + side)], dtype=np.float32)


def painted(view: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The box of what is white in a view, to half of a pixel."""
    white = view[..., 0].astype(float) / 255
    rows, columns = white.max(axis=1), white.max(axis=0)
    y, x = np.flatnonzero(rows > 0.5), np.flatnonzero(columns > 0.5)
    return np.array([x[0], y[0], x[-1] + 1, y[-1] + 1], dtype=np.float32)


def test_a_box_is_scaled_shifted_and_mirrored() -> None:
    # 40 x 60 -> 80 x 120, from (10, 20) a view of 50 x 40.
    place = Place((40, 60), (80, 120), (10, 20), (50, 40), flipped=False)
    boxes = np.array([[15, 10, 20, 25]], dtype=np.float32)
    assert place.to_view(boxes).tolist() == [[10, 10, 20, 40]]
    mirrored = Place((40, 60), (80, 120), (10, 20), (50, 40), flipped=True)
    assert mirrored.to_view(boxes).tolist() == [[20, 10, 30, 40]]  # 40 - 20, 40 - 10
    for one in (place, mirrored):
        assert np.allclose(one.to_image(one.to_view(boxes)), boxes)


@pytest.mark.parametrize(
    "views",
    [
        CentreCrop(side=32, shorter_side=40),
        CentreCrop(side=64, shorter_side=80),
        TenCrop(side=48, shorter_side=60),
        FullyConvolutionalViews(shorter_sides=[30, 40, 70]),
    ],
)
def test_the_places_are_those_of_the_views(views: Views) -> None:
    image, boxes = with_square(16, 24, 12)  # at least a part of it is in all views
    flat = [view for array in views(image) for view in array]
    places = views.places(SIZE)
    assert len(flat) == len(places)
    for view, place in zip(flat, places, strict=True):
        assert view.shape[:2] == place.size
        seen = place.to_view(boxes)[0].clip(0, view.shape[1])
        assert np.allclose(seen, painted(view), atol=1)


def test_a_random_crop_says_where_it_lies() -> None:
    crop = ScaleCrop(side=36, shorter_sides=(40, 60), flip_probability=0.5, colour_std=0)
    image, boxes = with_square(18, 28, 4)
    flipped = set()
    for seed in range(20):
        view, place = crop.with_place(image, np.random.default_rng(seed))
        assert np.array_equal(view, crop(image, np.random.default_rng(seed)))
        x1, y1, x2, y2 = place.to_view(boxes)[0]
        if min(x1, y1) >= 0 and max(x2, y2) <= 36:
            flipped.add(place.flipped)
            assert np.allclose((x1, y1, x2, y2), painted(view), atol=1)
    assert flipped == {False, True}
