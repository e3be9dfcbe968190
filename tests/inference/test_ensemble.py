"""Ensembles: the union of proposals and means of predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from detection.inference.detector import Detector
from detection.inference.ensemble import mean_classifier, union_of_proposals
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import Proposals, RegionPredictions


def test_the_union_of_two_models_proposals() -> None:
    a, b = (
        [Proposals(torch.full((n, 4), value), torch.zeros(n)) for n in counts]
        for value, counts in ((1.0, (2, 0)), (2.0, (1, 3)))
    )
    first, second = union_of_proposals([a, b])
    assert first[:, 0].tolist() == [1, 1, 2]
    assert second[:, 0].tolist() == [2, 2, 2]


def test_probabilities_and_boxes_are_averaged() -> None:
    def constant(probability: float, side: float) -> Any:
        return lambda boxes: [
            RegionPredictions(
                torch.full((len(b), 2), probability), torch.full((len(b), 1, 4), side)
            )
            for b in boxes
        ]

    found = mean_classifier([constant(0.2, 10.0), constant(0.8, 20.0)])([torch.zeros(2, 4)])
    assert found[0].probabilities.tolist() == [[0.5, 0.5]] * 2
    assert found[0].boxes.tolist() == [[[15.0] * 4]] * 2


def noise_detections(detector: Detector) -> Any:
    image = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return detector.detect_arrays([image])[0]


def test_two_equal_models_say_what_one_says(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN]
) -> None:
    model = tiny()
    one, two = noise_detections(make(model)), noise_detections(make(model, model))
    torch.testing.assert_close(two.scores, one.scores)
    torch.testing.assert_close(two.boxes, one.boxes)


def test_every_model_classifies_the_proposals_of_all(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN]
) -> None:
    models = [tiny(regions_at_once=100, test_proposals=n) for n in (4, 7)]
    noise_detections(make(*models))
    for model in models:  # on a CPU what both of them propose once
        (regions,) = model.backbone.regions
        assert 7 < regions <= 11
