"""What the pictures of the generated data set hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from detection.shapes.outlines import CLASS_NAMES
from detection.shapes.placement import MAX_SIDE, MIN_VISIBLE
from detection.shapes.scenes import Recipe, Scene, draw_scene

RECIPE = Recipe(seed=3, image_side=256, max_objects=6, empty_fraction=0.1, typical_colours=0.0)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(recipe=RECIPE, split="train", index=i) for i in range(120)]


def test_another_seed_and_another_split_give_other_images() -> None:
    image = draw_scene(recipe=RECIPE, split="train", index=0).image
    other_recipe = replace(RECIPE, seed=4)
    assert not np.array_equal(image, draw_scene(recipe=other_recipe, split="train", index=0).image)
    assert not np.array_equal(image, draw_scene(recipe=RECIPE, split="val", index=0).image)


@pytest.mark.slow
def test_boxes_lie_inside_and_are_not_slivers(scenes: list[Scene]) -> None:
    for scene in scenes:
        height, width = scene.image.shape[:2]
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert min(x2 - x1, y2 - y1) >= 8
            assert max(x2 - x1, y2 - y1) <= round(MAX_SIDE * 256) + 1
            assert 0 < item.area <= (x2 - x1) * (y2 - y1) * 1.1


@pytest.mark.slow
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
    assert min(item.visible for item in objects) >= MIN_VISIBLE


@pytest.mark.slow
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
