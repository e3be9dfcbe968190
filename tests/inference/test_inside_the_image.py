"""No box that a detector returns lies outside its image, by no rounding error either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from detection import boxes as box_ops
from detection.inference.detector import Detector
from detection.structures import Detections, RegionPredictions

SIDE = st.integers(20, 180)


def outside(boxes: Tensor, size: tuple[int, int]) -> float:
    """By how many pixels the boxes leave an image of ``size`` at most."""
    height, width = size
    beyond = torch.cat((-boxes, boxes - torch.tensor([width, height, width, height])))
    return float(beyond.amax())


@pytest.mark.slow
@given(
    size=st.tuples(SIDE, SIDE),
    seed=st.integers(0, 2**16),
    shorter_side=st.integers(48, 128),
    shorter_sides=st.sampled_from([(), (64, 96), (50, 80, 130)]),
    maximum=st.sampled_from(["region_features", "pooled"]),
    passes=st.integers(0, 2),
    regions=st.sampled_from(["best_class", "every_class"]),
    voting_iou=st.sampled_from([None, 0.3, 0.5]),
    flip=st.booleans(),
    num_models=st.integers(1, 2),
    precision=st.sampled_from(["fp32", "bf16"]),
)
def test_whatever_the_steps_of_inference(
    make: Callable[..., Detector],
    tiny: Callable[..., Any],
    size: tuple[int, int],
    seed: int,
    num_models: int,
    **steps: Any,
) -> None:
    # The tiny detector regresses boxes far out of the image: most of them end at an edge.
    torch.manual_seed(seed)
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    (found,) = make(*(tiny() for _ in range(num_models)), **steps).detect_arrays([image])
    assert len(found) > 0
    assert found.boxes.dtype == torch.float32
    assert outside(found.boxes, size) <= 0
    assert box_ops.area(found.boxes).min() > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_that_rounds_outwards_is_clipped(
    make: Callable[..., Detector], noise: Callable[[int, int], np.ndarray], precision: str
) -> None:
    size = 96, 128
    detector = make(precision=precision)
    step = detector.inference.post_processing
    left_by: list[float] = []

    def rounding_outwards(predictions: RegionPredictions) -> Detections:
        """Every edge moved outwards by one unit in the last place of 128, as voting may do."""
        found = step(predictions)
        moved = found.boxes + torch.tensor([-1, -1, 1, 1]) * 2.0**-16
        left_by.append(outside(moved, size))
        return Detections(moved, found.scores, found.labels)

    detector.inference = replace(detector.inference, post_processing=rounding_outwards)
    (found,) = detector.detect_arrays([noise(*size)])
    assert left_by == [2.0**-16]
    assert outside(found.boxes, size) == 0  # the edges that had left the image lie on its edge


def test_rescaling_that_rounds_outwards_is_clipped(make: Callable[..., Detector]) -> None:
    # 480 / 800 is 0.6, in float32 0.60000002384; 800 times that is 480.000019, and the nearest
    # float32, in steps of 2^-15 there, is 480 + 2^-15.
    resized, original = (800, 800), (480, 480)
    box = torch.tensor([[0.0, 0, 800, 800]])
    assert outside(box_ops.rescale(box, resized, original), original) == 2.0**-15
    said = RegionPredictions(torch.tensor([[0.2, 0.8, 0, 0]]), box[:, None].expand(1, 3, 4))
    found = make().finish(said, resized, original)
    assert found.boxes.tolist() == [[0, 0, 480, 480]]
