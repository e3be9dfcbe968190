"""Equal regions are computed once, and nobody can tell."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from detection.model.faster_rcnn import FasterRCNN
from detection.model.region_cache import RegionCache, pooled_cells
from detection.structures import ImageBatch


class Rounds:
    """Features that depend on the rounded box alone; ``computed``: how many at each call."""

    def __init__(self) -> None:
        self.computed: list[int] = []

    def __call__(self, boxes: Tensor) -> Tensor:
        self.computed.append(len(boxes))
        return boxes.round() @ torch.tensor([[1.0, 0], [10, 0], [100, 1], [1000, 0]])


def test_what_is_equal_or_known_is_not_computed() -> None:
    compute = Rounds()
    regions = RegionCache(compute=compute, cells=torch.round, regions_at_once=100)
    first = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [1.2, 2, 3, 3.9]])
    second = torch.tensor([[9.0, 9, 9, 9], [5, 6, 7, 8.1], [9, 9, 9, 9]])
    assert torch.equal(regions(first), Rounds()(first))
    assert torch.equal(regions(second), Rounds()(second))
    assert torch.equal(regions(first[:1]), Rounds()(first[:1]))
    assert compute.computed == [2, 1, 0]
    assert regions(torch.zeros(0, 4)).shape == (0, 2)


COORDINATES = st.sampled_from([0.0, 0.5, 1.0, torch.nan, torch.inf])


@given(st.lists(st.lists(st.tuples(*[COORDINATES] * 4), max_size=9), max_size=4))
def test_equals_computing_all(calls: list[list[tuple[float, ...]]]) -> None:
    compute = Rounds()
    regions = RegionCache(compute=compute, cells=torch.round, regions_at_once=100)
    for boxes in calls:
        asked = torch.tensor(boxes).reshape(-1, 4)
        torch.testing.assert_close(regions(asked), Rounds()(asked), rtol=0, atol=0, equal_nan=True)
    asked = torch.tensor([box for boxes in calls for box in boxes]).reshape(-1, 4)
    known = {tuple(box) for box in asked.round().tolist() if not any(map(math.isnan, box))}
    assert sum(compute.computed) == len(known) + int(asked.isnan().any(dim=1).sum())


@torch.no_grad()
@pytest.mark.parametrize(
    ("pooling", "computed"), [("roi_pool", [5, 1, 0]), ("roi_align", [6, 1, 0])]
)
def test_a_detector_says_the_same_as_of_all_regions_one_by_one(
    detector: Callable[..., FasterRCNN],
    image_batch: Callable[..., ImageBatch],
    pooling: str,
    computed: list[int],
) -> None:
    model = detector(tiny=True, regions_at_once=100).eval()
    for layer in (model.roi_head.logits, model.roi_head.deltas):
        nn.init.normal_(layer.weight, std=2.0)
    model.roi_head.pooling = pooling
    images = image_batch((96, 96))
    features = model.features(images)
    classify = model.classifier(features, images.sizes)
    boxes = torch.tensor(
        [
            [4.0, 4, 60, 60],
            [4.1, 3.9, 60, 60.2],  # the same cells
            [4, 4, 60, 76],  # one cell more
            [36, 4, 90, 60],  # 36 / 16 is cell 2
            [40, 4, 90, 60],  # 40 / 16 = 2.5 is cell 3
            [0, 0, 20, 30],
        ]
    )
    more = torch.cat((boxes[:2], torch.tensor([[20.0, 20, 70, 70]])))
    for asked, fresh in zip((boxes, more, boxes.flip(0)), computed, strict=True):
        model.backbone.regions.clear()
        (found,) = classify([asked])
        assert model.backbone.regions == [fresh]
        pooled = [model.pool(features, [box[None]]) for box in asked]
        logits, deltas = model.roi_head(model.backbone.region_features(torch.cat(pooled)))
        expected = model.roi_head.predictions(logits, deltas, asked, images.sizes[0])
        torch.testing.assert_close(found.probabilities, expected.probabilities)
        torch.testing.assert_close(found.boxes, expected.boxes)


def test_cells_end_with_the_last_pixel() -> None:
    # 40 / 16 = 2.5 would be cell 3 (rounded away from 0); the last pixel, 39, is in cell 2.
    boxes = torch.tensor([[0.0, 0, 40, 600], [0, 0, 39, 599], [0, 0, 41, 601]])
    cells = pooled_cells(boxes, pooling="roi_pool", spatial_scale=1 / 16)
    assert cells.tolist() == [[0, 0, 2, 37], [0, 0, 2, 37], [0, 0, 3, 38]]
    assert torch.equal(pooled_cells(boxes, pooling="roi_align", spatial_scale=1 / 16), boxes)
