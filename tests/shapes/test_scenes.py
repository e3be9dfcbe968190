"""What the pictures of the generated data set hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from detection.shapes import scenes as module
from detection.shapes.scenes import CLASS_NAMES, Recipe, Scene, draw_scene

RECIPE = Recipe(seed=3, image_side=256, max_objects=6, empty_fraction=0.1, typical_colours=0.0)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(recipe=RECIPE, split="train", index=i) for i in range(120)]


def test_another_seed_and_another_split_give_other_images() -> None:
    image = draw_scene(recipe=RECIPE, split="train", index=0).image
    other_recipe = replace(RECIPE, seed=4)
    assert not np.array_equal(image, draw_scene(recipe=other_recipe, split="train", index=0).image)
    assert not np.array_equal(image, draw_scene(recipe=RECIPE, split="val", index=0).image)


def test_boxes_lie_inside_and_are_not_slivers(scenes: list[Scene]) -> None:
    for scene in scenes:
        height, width = scene.image.shape[:2]
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert min(x2 - x1, y2 - y1) >= 8
            assert max(x2 - x1, y2 - y1) <= round(module.MAX_SIDE * 256) + 1
            assert 0 < item.area <= (x2 - x1) * (y2 - y1) * 1.1


def test_scenes_vary_as_promised(scenes: list[Scene]) -> None:
    objects = [item for scene in scenes for item in scene.objects]
    classes = Counter(item.name for item in objects)
    # About 50 of each; the standard deviation is 7.
    assert set(classes) == set(CLASS_NAMES)
    assert min(classes.values()) > 25
    counts = Counter(len(scene.objects) for scene in scenes)
    assert set(counts) == set(range(7))
    assert 2 <= counts[0] <= 30  # 12 expected
    shapes_of_images = [scene.image.shape[:2] for scene in scenes]
    assert {height > width for height, width in shapes_of_images} == {True, False}
    assert all(max(shape) == 256 for shape in shapes_of_images)
    sides = [max(item.box[2] - item.box[0], item.box[3] - item.box[1]) for item in objects]
    assert min(sides) < 64  # 0.22 of 256 pixels, and a little less on the diagonal
    assert max(sides) > 115  # up to 0.53
    assert any(item.difficult for item in objects)
    assert any(item.truncated for item in objects)
    assert any(item.visible < 0.9 and not item.truncated for item in objects)
    assert min(item.visible for item in objects) >= module.MIN_VISIBLE


def test_without_typical_colours_colour_does_not_give_the_class_away(
    scenes: list[Scene],
) -> None:
    means: dict[str, list[Any]] = {name: [] for name in CLASS_NAMES}
    for scene in scenes:
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            means[item.name].append(scene.image[y1:y2, x1:x2].mean(axis=(0, 1)))
    overall = np.mean(np.concatenate([np.array(m) for m in means.values()]), axis=0)
    # One patch deviates by about 50 grey levels, the mean of some 50 patches by about 7.
    for name, values in means.items():
        assert np.abs(np.mean(values, axis=0) - overall).max() < 35, name
        assert np.std(values, axis=0).min() > 25, name


def test_typical_colours_are_of_the_class() -> None:
    recipe = replace(RECIPE, seed=1, empty_fraction=0, max_objects=1, typical_colours=1.0)
    near = []
    for index in range(60):
        scene = draw_scene(recipe=recipe, split="a", index=index)
        (item,) = scene.objects
        x1, y1, x2, y2 = item.box
        hue = cv2.cvtColor(scene.image[y1:y2, x1:x2].astype(np.float32), cv2.COLOR_BGR2HSV)[..., 0]
        typical = 360 * CLASS_NAMES.index(item.name) / len(CLASS_NAMES)
        # The angle between the two, 0 ... 180; three standard deviations are 36 degrees.
        distance = np.abs((hue - typical + 180) % 360 - 180)
        near.append((distance < 36).mean())
    # A box is not all object: a cross fills about half of its own, the ground is of any colour.
    # Of hues at random a fifth (72 / 360) would lie so near.
    assert np.mean(near) > 0.5


def test_empty_fraction_decides_the_images_without_objects() -> None:
    def empty(fraction: float) -> int:
        recipe = replace(RECIPE, seed=0, image_side=128, max_objects=2, empty_fraction=fraction)
        found = [draw_scene(recipe=recipe, split="a", index=i) for i in range(15)]
        assert max(len(scene.objects) for scene in found) <= 2
        return sum(not scene.objects for scene in found)

    assert empty(1) == 15
    assert empty(0) == 0


def test_mask_covers_the_contour() -> None:
    # To a quarter of a pixel, one step of the supersampling: cv2 draws the boundary too.
    # 19.5 wide, 20 high: x from 10.5 to 30 covers half of column 10, then columns 11 to 29.
    square = np.array([(10.5, 20), (30, 20), (30, 40), (10.5, 40)])
    item = module._rasterise("square", [square], (64, 64))
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
        item = module._propose(rng, name, side, (2000, 2000))
        seen = np.zeros((2000, 2000), bool)
        seen[item.window] = item.mask > 0.5
        x1, y1, x2, y2 = module._describe(item, seen).box
        assert max(x2 - x1, y2 - y1) == pytest.approx(side, abs=1.5)


def test_boxes_and_areas_are_of_what_can_be_seen() -> None:
    # 8 x 6 pixels, of which all but an L are hidden by something nearer.
    item = module._Placed("square", np.ones((6, 8), np.float32), (2, 1), 48, 48, truncated=False)
    nearer = module._Placed("square", np.ones((6, 8), np.float32), (3, 0), 48, 48, truncated=False)
    owner = np.full((10, 12), -1)
    placed: list[Any] = []
    assert module._cover(owner, item, placed)
    # Visible: the column x = 2 and the row y = 6: 6 + 7 pixels of 48, less than MIN_VISIBLE.
    assert not module._cover(owner, nearer, placed)
    half = module._Placed("square", np.ones((6, 4), np.float32), (6, 1), 24, 24, truncated=False)
    assert module._cover(owner, half, placed)
    whole = module._describe(placed[0], owner == 0)
    assert (whole.box, whole.area, whole.visible) == ((2, 1, 6, 7), 24, 0.5)
    assert module._describe(placed[1], owner == 1).box == (6, 1, 10, 7)


def test_a_ring_has_a_hole_and_a_moon_a_bay() -> None:
    for name in ("ring", "moon"):
        contours = [c * 20 + 32 for c in module.outline(name)]
        item = module._rasterise(name, contours, (64, 64))
        mask = np.zeros((64, 64), np.float32)
        mask[item.window] = item.mask
        assert mask[32, 36] == 0
        assert mask[32, 15] == 1


def test_unknown_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown shape 'blob'; there are circle, cross"):
        module.outline("blob")
