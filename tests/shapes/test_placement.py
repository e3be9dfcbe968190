"""Where the shapes lie, what of them is visible, and the boxes around that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detection.shapes import placement, scenes
from detection.shapes.outlines import CLASS_NAMES, outline
from detection.shapes.placement import PlacedShape


def test_mask_covers_the_contour() -> None:
    # To a quarter of a pixel, one step of the supersampling: cv2 draws the boundary too.
    # 19.5 wide, 20 high: x from 10.5 to 30 covers half of column 10, then columns 11 to 29.
    square = np.array([(10.5, 20), (30, 20), (30, 40), (10.5, 40)])
    item = placement._rasterise("square", [square], (64, 64))
    mask = np.zeros((64, 64), np.float32)
    mask[item.window] = item.mask
    np.testing.assert_allclose(mask[30, 8:13], (0, 0, 0.5, 1, 1), atol=0.26)
    np.testing.assert_allclose(mask[30, 28:32], (1, 1, 0, 0), atol=0.26)
    np.testing.assert_allclose(mask[18:22, 20], (0, 0, 1, 1), atol=0.26)
    np.testing.assert_allclose(mask[38:42, 20], (1, 1, 0, 0), atol=0.26)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_whole_shape_is_as_long_as_its_box(name: str) -> None:
    rng = np.random.default_rng(0)
    for side in (24.0, 60.0, 140.0):
        item = placement._random_shape(rng, name, side, (2000, 2000))
        seen = np.zeros((2000, 2000), bool)
        seen[item.window] = item.mask > 0.5
        x1, y1, x2, y2 = scenes._describe(item, seen).box
        assert max(x2 - x1, y2 - y1) == pytest.approx(side, abs=1.5)


def test_boxes_and_areas_are_of_what_can_be_seen() -> None:
    # 8 x 6 pixels, of which all but an L are hidden by something nearer.
    item = PlacedShape("square", np.ones((6, 8), np.float32), (2, 1), 48, 48, truncated=False)
    nearer = PlacedShape("square", np.ones((6, 8), np.float32), (3, 0), 48, 48, truncated=False)
    front = np.full((10, 12), -1)
    placed: list[Any] = []
    assert placement._cover(front, item, placed)
    # Visible: the column x = 2 and the row y = 6: 6 + 7 pixels of 48, less than MIN_VISIBLE.
    assert not placement._cover(front, nearer, placed)
    half = PlacedShape("square", np.ones((6, 4), np.float32), (6, 1), 24, 24, truncated=False)
    assert placement._cover(front, half, placed)
    whole = scenes._describe(placed[0], front == 0)
    assert (whole.box, whole.area, whole.visible) == ((2, 1, 6, 7), 24, 0.5)
    assert scenes._describe(placed[1], front == 1).box == (6, 1, 10, 7)


def test_a_ring_has_a_hole_and_a_moon_a_bay() -> None:
    for name in ("ring", "moon"):
        contours = [c * 20 + 32 for c in outline(name)]
        item = placement._rasterise(name, contours, (64, 64))
        mask = np.zeros((64, 64), np.float32)
        mask[item.window] = item.mask
        assert mask[32, 36] == 0
        assert mask[32, 15] == 1


def test_an_unknown_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown shape 'blob'; there are circle, cross"):
        outline("blob")
