"""Mini-batches of crops, and the boxes in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detection.classification.crops import ScaleCrop
from detection.localization.crops import LocatedCrops, cut
from detection.localization.located_images import LocatedImages

CROP = ScaleCrop(side=64, shorter_sides=(64, 128), flip_probability=0.5, colour_std=0.1)


def crops(located: LocatedImages, *, min_visible: float) -> LocatedCrops:
    return LocatedCrops(located, crop=CROP, min_visible=min_visible, seed=1)


def test_boxes_are_cut_with_the_crop() -> None:
    boxes = np.array(
        [(0, 0, 10, 10), (-10, 0, 10, 10), (60, 60, 70, 70), (70, 0, 80, 9)], dtype=np.float32
    )
    clipped, visible = cut(boxes, 64)
    assert clipped.tolist() == [[0, 0, 10, 10], [0, 0, 10, 10], [60, 60, 64, 64], [64, 0, 64, 9]]
    assert visible == pytest.approx([1, 0.5, 0.16, 0])


def test_a_batch_depends_on_its_keys_alone(located: LocatedImages) -> None:
    both = crops(located, min_visible=0.25).__getitems__([(0, 1), (3, 2)])
    alone = crops(located, min_visible=0.25)[(3, 2)]
    assert torch.equal(both.images.pixels[1], alone.images.pixels[0])
    assert torch.equal(both.targets[1].boxes, alone.targets[0].boxes)
    assert both.targets[1].seed == alone.targets[0].seed != both.targets[0].seed
    assert both.images.sizes == [(64, 64)] * 2


def test_what_is_hardly_in_the_crop_is_ignored(located: LocatedImages) -> None:
    keys = [(epoch, index) for epoch in range(10) for index in range(4)]
    for min_visible in (0.0, 0.5, 1.0):
        batch = crops(located, min_visible=min_visible).__getitems__(keys)
        for (epoch, index), target in zip(keys, batch.targets, strict=True):
            image, boxes = located.read(index)
            _, place = CROP.with_place(image, np.random.default_rng((1, epoch, index)))
            clipped, visible = cut(place.to_view(boxes), 64)
            assert np.array_equal(target.boxes.numpy(), clipped)
            assert target.ignored.tolist() == [bool(visible[0] < min_visible or visible[0] == 0)]
            assert target.labels.tolist() == [located.classes[index] + 1]
