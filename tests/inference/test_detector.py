"""From photos to detections in them: which features are computed, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.inference.device import find_device
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold
from detection.structures import Proposals, RegionPredictions

RULE = PostProcessing(score_threshold=0.1, nms_iou=0.3, voting_iou=None, per_image=100)


MakeImage = Callable[[int, int], np.ndarray]


def test_boxes_are_in_pixels_of_the_original_image(
    make: Callable[..., Detector], noise: MakeImage
) -> None:
    image = noise(192, 240)
    detector = make()
    (found,) = detector.detect_arrays([image])
    # The same network on an image that is that size already: half the pixels, half the boxes.
    (direct,) = detector.detect_arrays([detector.preparation(image)[0]])
    torch.testing.assert_close(found.boxes, 2 * direct.boxes)
    assert len(found) > 0


def test_images_of_one_batch_do_not_disturb_each_other(
    make: Callable[..., Detector], detector: Callable[..., FasterRCNN], noise: MakeImage
) -> None:
    whole = make(detector(test_proposals=10))
    first, second = noise(96, 128), noise(96, 128)[::-1].copy()
    together = whole.detect_arrays([first, second])
    for image, found in zip((first, second), together, strict=True):
        (alone,) = whole.detect_arrays([image])
        torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"flip": True, "passes": 1, "voting_iou": 0.5},
        {"shorter_sides": [64, 96, 128], "flip": True},
    ],
)
def test_what_is_found_does_not_depend_on_the_other_images(
    steps: dict[str, Any], make: Callable[..., Detector], noise: MakeImage
) -> None:
    detector = make(**steps)
    sizes = [(96, 128), (128, 96), (100, 100), (96, 128), (60, 190)]
    images = [noise(*size)[::-1].copy() if i % 2 else noise(*size) for i, size in enumerate(sizes)]
    alone = [detector.detect_arrays([image])[0] for image in images]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 1], [2, 0, 1]):
        for place, found in zip(
            order, detector.detect_arrays([images[i] for i in order]), strict=True
        ):
            wanted = alone[place]
            assert len(wanted) > 0
            torch.testing.assert_close(found.labels, wanted.labels)
            torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=1e-5)
            torch.testing.assert_close(found.boxes, wanted.boxes, rtol=0, atol=1e-5 * 190)


def test_a_resnets_features_and_proposals_do_not_depend_on_the_other_images(
    make: Callable[..., Detector],
    detector: Callable[..., FasterRCNN],
    with_random_bn: Callable[[torch.nn.Module], None],
    noise: MakeImage,
) -> None:
    model = detector(test_proposals=10)
    with_random_bn(model)
    whole = make(model)
    images = [noise(96, 128), noise(128, 96), noise(96, 128)[::-1].copy(), noise(100, 100)]
    sizes = [image.shape[:2] for image in images]
    prepared = [whole.preparation(image) for image in images]
    features: list[torch.Tensor] = []
    hook = model.backbone.conv4.register_forward_hook(lambda *seen: features.append(seen[-1]))
    taken: list[Proposals] = []
    whole.detect_prepared(prepared, sizes, taken=taken)
    # In groups of one size, the first two of which are images 0 and 2.
    rows = [row for group in features for row in group]
    together = dict(zip([0, 2, 1, 3], rows, strict=True))
    for place in range(len(images)):
        features.clear()
        alone: list[Proposals] = []
        whole.detect_prepared(prepared[place : place + 1], sizes[place : place + 1], taken=alone)
        (own,) = features[0]
        largest = float(own.abs().max())
        torch.testing.assert_close(together[place], own, rtol=0, atol=1e-5 * largest)
        torch.testing.assert_close(taken[place].boxes, alone[0].boxes, rtol=0, atol=1e-5 * 128)
    hook.remove()


def test_folding_bn_once_changes_nothing(
    make: Callable[..., Detector],
    detector: Callable[..., FasterRCNN],
    with_random_bn: Callable[[torch.nn.Module], None],
    noise: MakeImage,
) -> None:
    model = detector(test_proposals=10)
    with_random_bn(model)
    image = noise(96, 128)
    (before,) = make(model).detect_arrays([image])
    (after,) = make(fold(model)).detect_arrays([image])
    torch.testing.assert_close(after.scores, before.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after.boxes, before.boxes, rtol=1e-4, atol=1e-2)


def test_no_images_are_no_detections(make: Callable[..., Detector]) -> None:
    assert make().detect_arrays([]) == []


def test_testing_at_several_base_sizes_is_refused(make: Callable[..., Detector]) -> None:
    whole = make()
    with pytest.raises(ValueError, match=r"one shorter side, got \[96, 128\]"):
        Detector(
            models=whole.models,
            class_names=["a"],
            category_ids=[1],
            resize=Resize(shorter_sides=[96, 128], longest=200),
            inference=whole.inference,
            device=torch.device("cpu"),
            precision="fp32",
        )


def test_boxes_are_averaged_in_float32_whatever_the_network_computes_in(
    make: Callable[..., Detector],
) -> None:
    boxes = torch.tensor([[601.0, 301, 701, 401], [605, 301, 705, 401]])
    given = RegionPredictions(
        probabilities=torch.tensor([[0.4, 0.6], [0.4, 0.6]]),
        boxes=boxes[:, None],
    )
    detector = make()
    detector.inference = replace(detector.inference, post_processing=replace(RULE, voting_iou=0.5))
    with torch.autocast("cpu", torch.bfloat16):
        found = detector.finish(given, (800, 800), (800, 800))
    assert found.boxes.tolist() == [pytest.approx([603, 301, 703, 401])]  # bf16: steps of 4


@pytest.mark.parametrize("passes", [0, 1, 2])
@pytest.mark.parametrize("context", [False, True])
def test_features_and_context_once_and_one_head_pass_for_each_refinement(
    make: Callable[..., Detector],
    tiny: Callable[..., FasterRCNN],
    noise: MakeImage,
    passes: int,
    context: bool,
) -> None:
    model = tiny(context=context, regions_at_once=100)
    make(model, passes=passes).detect_arrays([noise(96, 128)])
    assert model.backbone.images == [1]
    # The whole image once, then the 10 proposals, then 10 boxes for each pass; on a CPU none twice.
    expected = [1] * context + [10] * (1 + passes)
    assert len(model.backbone.regions) == len(expected)
    assert all(0 <= n <= most for n, most in zip(model.backbone.regions, expected, strict=True))


def test_every_class_costs_as_many_passes_as_there_are_classes(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], noise: MakeImage
) -> None:
    model = tiny(regions_at_once=100)
    make(model, passes=1, regions="every_class").detect_arrays([noise(96, 128)])
    assert model.backbone.images == [1]
    first, again = model.backbone.regions
    assert 0 < first <= 10 < again <= 30


def test_given_proposals_take_the_place_of_the_rpns(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], noise: MakeImage
) -> None:
    model = tiny(regions_at_once=100)
    detector = make(model, shorter_sides=[64, 144])
    image = noise(96, 128)
    proposals = torch.tensor([[8.0, 8, 90, 70], [40, 0, 80, 96]])
    prepared = [detector.preparation(image)]
    (found,) = detector.detect_prepared(prepared, [(96, 128)], [proposals])
    assert 0 < len(found) <= 2 * 3
    assert model.backbone.images == [1] * 2  # of the base scale nothing is needed
    assert model.backbone.regions == [2, 2]
    with pytest.raises(ValueError, match="1 images, but proposals of 2"):
        detector.detect_prepared(prepared, [(96, 128)], [proposals] * 2)


def test_everything_together_computes_each_feature_map_once(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], noise: MakeImage
) -> None:
    models = [tiny(context=True, regions_at_once=100) for _ in range(2)]
    sides = [64, 96, 144]
    whole = make(*models, passes=1, voting_iou=0.5, flip=True, shorter_sides=sides)
    (found,) = whole.detect_arrays([noise(96, 128)])
    for model in models:
        # Base (which is one of the three scales), two other scales; then the three mirrored.
        assert model.backbone.images == [1] * 6
        # In each of two views: the context at two scales, and 2 * 10 proposals twice, at two each;
        # on a CPU none of them twice.
        assert 2 * (2 + 20 * 2) < sum(model.backbone.regions) <= 2 * (2 + 2 * 20 * 2)
    assert len(found) > 0
    width = torch.tensor([128.0, 96, 128, 96])
    assert bool((found.boxes >= 0).all())
    assert bool((found.boxes <= width).all())


def test_a_base_scale_that_is_no_scale_is_computed_for_the_proposals_alone(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], noise: MakeImage
) -> None:
    model = tiny()
    make(model, shorter_side=80, shorter_sides=[64, 96]).detect_arrays([noise(96, 128)])
    assert model.backbone.images == [1, 1, 1]


def test_a_box_that_was_cut_to_nothing_is_no_detection(make: Callable[..., Detector]) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 5, 50, 20], [3, 40, 9, 40]])
    probabilities = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    detector = make()
    detector.inference = replace(detector.inference, post_processing=RULE)
    kept = detector.finish(RegionPredictions(probabilities, boxes[:, None]), (50, 50), (100, 100))
    assert kept.boxes.tolist() == [[0, 0, 20, 20]]
    assert kept.labels.tolist() == [1]


@pytest.mark.parametrize("name", ["mps", "xpu", "hpu", "meta"])
def test_a_device_that_this_torch_has_not_is_refused(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(ValueError, match=f"device {name}"):
        find_device(name)
