"""From region predictions to detections, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from detection.inference.post_processing import PostProcessing
from detection.structures import RegionPredictions

RULE = PostProcessing(score_threshold=0.1, nms_iou=0.3, voting_iou=None, per_image=100)


def predictions() -> RegionPredictions:
    """Three regions, two classes; background first."""
    return RegionPredictions(
        probabilities=torch.tensor([[0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.05, 0.05, 0.9]]),
        boxes=torch.tensor(
            [
                [[0.0, 0, 10, 10], [0, 0, 8, 8]],
                [[0, 0, 10, 9], [50, 50, 60, 60]],
                [[0, 0, 10, 10], [1, 0, 10, 10]],
            ]
        ),
    )


def test_threshold_then_nms_within_each_class_then_best_first() -> None:
    found = RULE(predictions())
    # Class 1: region 1 overlaps region 0 by 90 / 100 and goes; region 2 is below 0.1.
    # Class 2: 0.1 is not above the threshold, twice; region 2 stays, class 1 does not suppress it.
    assert found.labels.tolist() == [2, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert found.boxes.tolist() == [[1, 0, 10, 10], [0, 0, 10, 10]]


def test_at_most_so_many_detections_the_best() -> None:
    found = PostProcessing(score_threshold=0.0, nms_iou=1.0, voting_iou=None, per_image=3)(
        predictions()
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])


def test_nothing_above_the_threshold_is_no_detection() -> None:
    found = PostProcessing(score_threshold=0.95, nms_iou=0.3, voting_iou=None, per_image=3)(
        predictions()
    )
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_voting_comes_after_nms_and_before_the_original_pixels() -> None:
    rule = replace(RULE, voting_iou=0.5)
    found = rule(predictions())
    # Class 1: region 0 (0.8) stays, region 1 (0.6) overlaps it by 90 / 100 and votes: its lower
    # edge 9 against 10 gives (0.8 * 10 + 0.6 * 9) / 1.4.  Class 2 has no neighbour above 0.1.
    assert found.labels.tolist() == [2, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert found.boxes[0].tolist() == [1, 0, 10, 10]
    assert found.boxes[1].tolist() == pytest.approx([0, 0, 10, 13.4 / 1.4])


@pytest.mark.parametrize("iou", [0.0, 1.5])
def test_an_impossible_voting_iou_is_refused(iou: float) -> None:
    with pytest.raises(ValueError, match="voting_iou must lie in"):
        replace(RULE, voting_iou=iou)
