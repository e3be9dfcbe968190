"""A detector with the steps of inference switched as a test needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detection.data.transforms import Resize
from detection.inference.detector import Detector, Inference
from detection.inference.multi_scale import MultiScale
from detection.inference.post_processing import PostProcessing
from detection.inference.refine import Refinement
from detection.model.faster_rcnn import FasterRCNN


@pytest.fixture(scope="session")
def tiny(detector: Callable[..., FasterRCNN]) -> Callable[..., FasterRCNN]:
    """A tiny detector whose two layers say something about every region."""

    def build(**changes: Any) -> FasterRCNN:
        model = detector(tiny=True, **{"test_proposals": 10, **changes}).eval()
        nn.init.normal_(model.roi_head.logits.weight, std=2.0)
        nn.init.normal_(model.roi_head.deltas.weight, std=2.0)
        return model

    return build


@pytest.fixture(scope="session")
def make(tiny: Callable[..., FasterRCNN]) -> Callable[..., Detector]:
    """A detector of three classes; everything but one pass at one scale is off."""

    def build(
        *models: FasterRCNN,
        shorter_side: int = 96,
        passes: int = 0,
        regions: Any = "best_class",
        voting_iou: float | None = None,
        flip: bool = False,
        shorter_sides: Sequence[int] = (),
        maximum: Any = "region_features",
        precision: Any = "fp32",
    ) -> Detector:
        return Detector(
            models=models or [tiny()],
            class_names=["a", "b", "c"],
            category_ids=[1, 3, 7],
            resize=Resize(shorter_sides=[shorter_side], longest=200),
            inference=Inference(
                multi_scale=MultiScale(
                    shorter_sides=shorter_sides, longest=400, region_side=48, maximum=maximum
                ),
                flip=flip,
                refinement=Refinement(passes=passes, regions=regions, minimum_score=0.0),
                post_processing=PostProcessing(
                    score_threshold=0.0, nms_iou=0.5, voting_iou=voting_iou, per_image=20
                ),
            ),
            device=torch.device("cpu"),
            precision=precision,
        )

    return build


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int], np.ndarray]:
    """(height, width) -> an image of noise."""

    def build(height: int, width: int) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return build
