"""Which two scales a region takes, and the maximum of both, against a loop over regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from detection import boxes as box_ops
from detection.data.transforms import Resize
from detection.inference.multi_scale import MultiScale, Preparation, lower_scale
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch

SIZES = [(200, 300), (400, 600), (600, 900), (800, 1200), (1000, 1500)]


def rule(*shorter_sides: int, maximum: Any = "region_features", side: float = 224) -> MultiScale:
    return MultiScale(shorter_sides=shorter_sides, longest=2000, region_side=side, maximum=maximum)


@pytest.mark.parametrize(
    ("side", "lower"),
    [
        # Of a square in the 600 x 900 image; at the five scales it is 1/3, 2/3, 1, 4/3, 5/3 of it.
        (600, 0),  # 200, 400: brackets 224
        (224 * 3, 0),  # exactly 224 at the smallest scale
        (700, 0),  # 233 already at the smallest: the two smallest
        (300, 1),  # 100, 200, 300
        (224, 2),  # exactly 224 at 600: brackets it with 800
        (225, 1),  # just above it: 400 and 600
        (150, 3),  # 200 at 800, 250 at 1000
        (50, 3),  # 83 at the largest: the two largest
        (0, 3),
    ],
)
def test_a_region_takes_the_scales_that_bracket_its_area(side: float, lower: int) -> None:
    boxes = torch.tensor([[5.0, 7, 5 + side, 7 + side]])
    assert lower_scale(boxes, (600, 900), SIZES, 224).tolist() == [lower]


@torch.no_grad()
@pytest.mark.parametrize("maximum", ["region_features", "pooled"])
@pytest.mark.parametrize("context", [False, True])
def test_equals_the_loop_over_regions(
    tiny: Callable[..., FasterRCNN], maximum: Any, context: bool
) -> None:
    model = tiny(context=context, regions_at_once=3)
    base_sizes = [(64, 96), (80, 64)]
    scales = [[(32, 48), (40, 32)], [(64, 96), (80, 64)], [(128, 192), (160, 128)]]
    maps = [torch.rand(2, 8, 12, 12) for _ in scales]
    corner = torch.rand(2, 9, 2) * 40
    boxes = list(torch.cat((corner, corner + 4 + torch.rand(2, 9, 2) * 50), dim=2))

    chosen = rule(32, 64, 128, maximum=maximum, side=32)
    classify = chosen.classifier(model, maps, scales, base_sizes)
    found = classify(boxes)

    def slow_feature(image: int, box: torch.Tensor) -> torch.Tensor:
        sizes = [scale[image] for scale in scales]
        areas = [float(box_ops.area(box_ops.rescale(box, base_sizes[image], s))) for s in sizes]
        lower = 1 if areas[1] <= 32**2 else 0
        two = [
            model.pool(
                maps[s][image : image + 1],
                [box_ops.rescale(box, base_sizes[image], sizes[s])[None]],
            )
            for s in (lower, lower + 1)
        ]
        if maximum == "pooled":
            return model.backbone.region_features(torch.maximum(*two))[0]
        return torch.maximum(*(model.backbone.region_features(pooled)[0] for pooled in two))

    used = set()
    for image, (height, width) in enumerate(base_sizes):
        used |= set(
            lower_scale(boxes[image], (height, width), [s[image] for s in scales], 32).tolist()
        )
        whole = slow_feature(image, torch.tensor([0.0, 0, width, height]))
        for number, box in enumerate(boxes[image]):
            feature = slow_feature(image, box)
            if context:
                feature = torch.cat((feature, whole))
            logits = F.linear(feature, model.roi_head.logits.weight, model.roi_head.logits.bias)
            torch.testing.assert_close(
                found[image].probabilities[number], logits.softmax(0), rtol=1e-4, atol=1e-5
            )
    assert used == {0, 1}


@torch.no_grad()
@pytest.mark.parametrize("maximum", ["region_features", "pooled"])
def test_two_equal_scales_are_the_base_scale(
    tiny: Callable[..., FasterRCNN], image_batch: Callable[..., ImageBatch], maximum: Any
) -> None:
    # The maximum of a thing and itself; boxes in pixels of the base scale.
    model, images = tiny(context=True), image_batch((64, 96))
    features, proposals = model.propose(images)
    boxes = [proposals[0].boxes]
    sizes = images.sizes
    two_scales = rule(64, 65, maximum=maximum)
    many = two_scales.classifier(model, [features] * 2, [sizes] * 2, sizes)
    (found,), (single,) = many(boxes), model.classify(features, boxes, sizes)
    torch.testing.assert_close(found.probabilities, single.probabilities)
    torch.testing.assert_close(found.boxes, single.boxes)


@torch.no_grad()
@pytest.mark.parametrize("maximum", ["region_features", "pooled"])
def test_an_image_without_regions(tiny: Callable[..., FasterRCNN], maximum: Any) -> None:
    model = tiny(context=True)
    sizes = [(32, 32), (64, 64)]
    classify = rule(32, 64, maximum=maximum).classifier(
        model,
        [torch.rand(1, 8, 2, 2), torch.rand(1, 8, 4, 4)],
        [[size] for size in sizes],
        [sizes[0]],
    )
    (found,) = classify([torch.zeros(0, 4)])
    assert found.boxes.shape == (0, 3, 4)


def test_an_image_is_prepared_at_the_base_scale_first() -> None:
    image = np.zeros((100, 150, 3), dtype=np.uint8)
    base = Resize(shorter_sides=[50], longest=1000)
    assert [p.shape[:2] for p in Preparation(base, rule())(image)] == [(50, 75)]
    several = Preparation(base, rule(40, 50, 60))(image)
    assert [p.shape[:2] for p in several] == [(50, 75), (40, 60), (50, 75), (60, 90)]


@pytest.mark.parametrize("sides", [(600,), (400, 200), (200, 200), (0, 200)])
def test_impossible_scales_are_refused(sides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two lengths or more in ascending order"):
        rule(*sides)


def test_an_unknown_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="region_features or pooled, got 'scores'"):
        rule(maximum="scores")
