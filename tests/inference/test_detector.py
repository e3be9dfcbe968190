"""From region predictions to detections in the original image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from detection.data.transforms import Resize
from detection.inference.detector import Detector, PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold
from detection.structures import Detections, RegionPredictions

RULE = PostProcessing(score_threshold=0.1, nms_iou=0.3, per_image=100)


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
    found = PostProcessing(score_threshold=0.0, nms_iou=1.0, per_image=3)(predictions())
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])


def test_nothing_above_the_threshold_is_no_detection() -> None:
    found = PostProcessing(score_threshold=0.95, nms_iou=0.3, per_image=3)(predictions())
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


@pytest.fixture
def make(detector: Callable[..., FasterRCNN]) -> Callable[..., Detector]:
    def build(model: FasterRCNN | None = None, shorter_side: int = 96) -> Detector:
        return Detector(
            model=model or detector(test_proposals=10),
            class_names=["a", "b", "c"],
            category_ids=[1, 3, 7],
            resize=Resize(shorter_sides=[shorter_side], longest=200),
            post_processing=PostProcessing(score_threshold=0.0, nms_iou=0.5, per_image=20),
            device=torch.device("cpu"),
            precision="fp32",
        )

    return build


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_boxes_are_in_pixels_of_the_original_image(make: Callable[..., Detector]) -> None:
    image = noise(192, 240)
    detector = make()
    (found,) = detector([image])
    # The same network on an image that is that size already: half the pixels, half the boxes.
    (direct,) = detector([detector.prepare(image)])
    torch.testing.assert_close(found.boxes, 2 * direct.boxes)
    assert len(found) > 0


def test_images_of_one_batch_do_not_disturb_each_other(make: Callable[..., Detector]) -> None:
    detector = make()
    first, second = noise(96, 128), noise(96, 128)[::-1].copy()
    together = detector([first, second])
    for image, found in zip((first, second), together, strict=True):
        (alone,) = detector([image])
        torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-2)


def test_folding_bn_once_changes_nothing(
    make: Callable[..., Detector],
    detector: Callable[..., FasterRCNN],
    with_random_bn: Callable[[torch.nn.Module], None],
) -> None:
    model = detector(test_proposals=10)
    with_random_bn(model)
    image = noise(96, 128)
    (before,) = make(model)([image])
    (after,) = make(fold(model))([image])  # type: ignore[arg-type]
    torch.testing.assert_close(after.scores, before.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after.boxes, before.boxes, rtol=1e-4, atol=1e-2)


def test_testing_at_several_sizes_is_refused(make: Callable[..., Detector]) -> None:
    with pytest.raises(ValueError, match=r"one shorter side, got \[96, 128\]"):
        Detector(
            model=make().model,
            class_names=["a"],
            category_ids=[1],
            resize=Resize(shorter_sides=[96, 128], longest=200),
            post_processing=RULE,
            device=torch.device("cpu"),
            precision="fp32",
        )


def test_a_box_that_was_cut_to_nothing_is_no_detection() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 5, 50, 20], [3, 40, 9, 40]])
    found = Detections(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 2, 1]))
    kept = Detector._to_original(found, (50, 50), (100, 100))
    assert kept.boxes.tolist() == [[0, 0, 20, 20]]
    assert kept.labels.tolist() == [1]
