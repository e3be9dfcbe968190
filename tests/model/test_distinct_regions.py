"""Equal regions are computed once, and nobody can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from detection.model.distinct_regions import DistinctRegions
from detection.model.faster_rcnn import FasterRCNN
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
    regions = DistinctRegions(compute=compute, place=torch.round)
    first = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [1.2, 2, 3, 3.9]])
    second = torch.tensor([[9.0, 9, 9, 9], [5, 6, 7, 8.1], [9, 9, 9, 9]])
    assert torch.equal(regions(first), Rounds()(first))
    assert torch.equal(regions(second), Rounds()(second))
    assert torch.equal(regions(first[:1]), Rounds()(first[:1]))
    assert compute.computed == [2, 1, 0]
    assert regions(torch.zeros(0, 4)).shape == (0, 2)


@given(
    st.lists(
        st.lists(st.tuples(*[st.integers(0, 2).map(lambda half: half / 2)] * 4), max_size=9),
        max_size=4,
    )
)
def test_equals_computing_all(calls: list[list[tuple[float, ...]]]) -> None:
    compute = Rounds()
    regions = DistinctRegions(compute=compute, place=torch.round)
    for boxes in calls:
        asked = torch.tensor(boxes).reshape(-1, 4)
        assert torch.equal(regions(asked), Rounds()(asked))
    asked = torch.tensor([box for boxes in calls for box in boxes]).reshape(-1, 4)
    assert sum(compute.computed) == len(set(map(tuple, asked.round().tolist())))


def test_boxes_that_are_not_finite_hide_no_others() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [torch.nan] * 4, [0, 0, torch.inf, 4], [2, 2, 4, 4]])
    found = DistinctRegions(compute=Rounds(), place=torch.round)(boxes)
    assert found[1:3].isfinite().logical_not().any(dim=1).all()
    assert torch.equal(found[[0, 3]], Rounds()(boxes[[0, 3]]))


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["roi_pool", "roi_align"])
def test_a_detector_says_the_same_of_regions_asked_for_again(
    detector: Callable[..., FasterRCNN], image_batch: Callable[..., ImageBatch], pooling: str
) -> None:
    model = detector(tiny=True).eval()
    model.roi_head.pooling = pooling
    images = image_batch((64, 96), (80, 64))
    features = model.features(images)
    classify = model.classifier(features, images.sizes)
    boxes = torch.tensor([[4.0, 4, 60, 60], [4.1, 3.9, 60, 60.2], [0, 0, 20, 30]])
    for asked in (boxes, boxes.flip(0), boxes + 0.05):
        found = classify([asked, asked[:1]])
        for i in range(2):
            pooled = model.pool(features[i : i + 1], [asked[: len(found[i].boxes)]])
            logits, deltas = model.roi_head(model.backbone.region_features(pooled))
            own = model.roi_head.predictions(logits, deltas, asked[: len(pooled)], images.sizes[i])
            torch.testing.assert_close(found[i].probabilities, own.probabilities)
            torch.testing.assert_close(found[i].boxes, own.boxes)
