"""Thresholds of single classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detection.inference.class_thresholds import class_thresholds
from detection.inference.post_processing import PostProcessing
from detection.structures import RegionPredictions

NAMES = ("person", "car", "traffic light")


def test_classes_that_are_not_named_keep_theirs() -> None:
    assert class_thresholds(
        {"car": 0.3, "person": 1}, NAMES, others=0.05, key="score_threshold"
    ) == (1, 0.3, 0.05)
    assert class_thresholds({"car": 0.3}, NAMES, others=(0.1, 0.2, 0.4), key="score_threshold") == (
        0.1,
        0.3,
        0.4,
    )
    found = class_thresholds(
        {"car": np.float32(0.5), "person": np.int64(1)}, NAMES, others=0, key="x"
    )
    assert found == (1.0, 0.5, 0.0)
    assert {type(each) for each in found} == {float}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"persn": 0.5}, r"'persn' is none of the detector's classes; did you mean 'person'\?"),
        ({"Traffic Light": 0.5}, "did you mean 'traffic light'"),
        ({"xyz": 0.5}, "classes: person, car, traffic light"),
        ({"car": 3}, r"car must lie in \[0, 1\], got 3"),
        ({"car": "high"}, r"car must lie in \[0, 1\], got 'high'"),
        ({"car": True}, "car must lie in"),
    ],
)
def test_impossible_ones_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_thresholds(given, NAMES, others=0.05, key="score_threshold")


def rule(score_threshold: float | tuple[float, ...]) -> PostProcessing:
    return PostProcessing(
        score_threshold=score_threshold, nms_iou=0.5, voting_iou=0.5, per_image=1000
    )


def test_each_class_has_its_threshold() -> None:
    random = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 3, 4, generator=random) * 50
    boxes = torch.cat((corners[..., :2], corners[..., :2] + corners[..., 2:] + 1), dim=2)
    probabilities = torch.rand(60, 4, generator=random).softmax(dim=1)
    given = RegionPredictions(probabilities, boxes)
    found = rule((0.2, 0.3, 0.25))(given)
    for label, threshold in ((1, 0.2), (2, 0.3), (3, 0.25)):
        alone = rule(threshold)(given)
        expected, got = alone[alone.labels == label], found[found.labels == label]
        assert len(expected) > 0
        torch.testing.assert_close(got.boxes, expected.boxes)
        assert torch.equal(got.scores, expected.scores)
    same = rule((0.25, 0.25, 0.25))(given)
    torch.testing.assert_close(same.boxes, rule(0.25)(given).boxes)


def test_thresholds_of_other_classes_are_refused() -> None:
    given = RegionPredictions(torch.ones(1, 4) / 4, torch.ones(1, 3, 4))
    with pytest.raises(ValueError, match="score_threshold has 2 numbers, there are 3 classes"):
        rule((0.1, 0.2))(given)
