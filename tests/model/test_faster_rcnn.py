"""The whole detector: gradients, chunks, precision, and images without objects or regions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold
from detection.structures import ImageBatch, Losses, Target

MakeDetector = Callable[..., FasterRCNN]
MakeTarget = Callable[..., Target]
MakeBatch = Callable[..., ImageBatch]


def values(losses: Losses) -> list[float]:
    return [float(value) for value in losses.detached().values()]


def test_losses_are_finite_and_reach_every_trainable_parameter(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch, device: torch.device
) -> None:
    model = detector().to(device).train()
    images = image_batch((96, 128), (80, 112)).to(device)
    targets = [
        target([[10, 10, 60, 70]], labels=[2]).to(device),
        target([[5, 20, 40, 60], [50, 10, 90, 70]], labels=[1, 3]).to(device),
    ]
    losses = model(images, targets)
    assert all(math.isfinite(value) and value > 0 for value in values(losses))
    # ln 2 for a coin, ln 4 for one of three classes or background: nothing is known yet.
    assert losses.rpn_objectness.item() == pytest.approx(math.log(2), rel=0.1)
    assert losses.head_class.item() == pytest.approx(math.log(4), rel=0.2)
    losses.total().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("backbone.conv1.", "backbone.conv2.")):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.any()), name


def test_total_is_the_sum_of_the_four_losses() -> None:
    losses = Losses(*(torch.tensor(float(v)) for v in (1, 2, 4, 8)))
    assert losses.total() == 15
    assert losses.detached()["total"] == 15
    assert list(losses.detached()) == [
        "rpn_objectness",
        "rpn_box",
        "head_class",
        "head_box",
        "total",
    ]


@pytest.mark.slow
def test_the_bottleneck_network_pools_every_second_bin_without_any_difference(
    detector: MakeDetector,
    target: MakeTarget,
    image_batch: MakeBatch,
    with_random_bn: Callable[[nn.Module], None],
) -> None:
    whole, sparse = (
        detector(depth=50, stride_in_1x1=True, bin_step=step, pooled_size=14, regions_per_image=4)
        for step in (1, 2)
    )
    with_random_bn(whole)
    sparse.load_state_dict(whole.state_dict())
    images, targets = image_batch((64, 96)), [target([[10, 10, 60, 50]])]
    results = []
    for model in (whole, sparse):
        torch.manual_seed(3)  # the same anchors and regions are drawn
        losses = model(images, targets)
        losses.total().backward()
        gradient = model.backbone.conv4[0].conv_a.conv.weight.grad
        results.append((values(losses), gradient))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    largest = float(results[0][1].abs().max())
    assert float((results[0][1] - results[1][1]).abs().max()) < 1e-4 * largest


def test_classifying_in_chunks_changes_nothing(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    images = image_batch((96, 128), (80, 112))
    boxes = [
        torch.tensor([[0.0, 0, 50, 60], [10, 20, 90, 80], [30, 30, 40, 95]]),
        torch.tensor([[5.0, 5, 60, 60]] * 5) + 16 * torch.arange(5)[:, None],
    ]
    predictions = []
    model = detector().eval()
    with torch.no_grad():
        features = model.features(images)
        for at_once in (1, 2, 100):
            model.regions_at_once = at_once
            predictions.append(model.classify(features, boxes, images.sizes))
    for other in predictions[1:]:
        for a, b in zip(predictions[0], other, strict=True):
            torch.testing.assert_close(a.probabilities, b.probabilities, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(a.boxes, b.boxes, atol=1e-3, rtol=1e-5)
    assert [len(p.boxes) for p in predictions[0]] == [3, 5]


@torch.no_grad()
def test_classify_is_what_training_computes(detector: MakeDetector, image_batch: MakeBatch) -> None:
    # One path for training and inference: pooling, conv5 and head, on whole images.
    model = detector(tiny=True).eval()
    images = image_batch((64, 64))
    features = model.features(images)
    boxes = torch.tensor([[4.0, 4, 60, 60], [0, 0, 20, 30]])
    (found,) = model.classify(features, [boxes], images.sizes)
    pooled = model.pool(features, [boxes])
    assert pooled.shape == (2, 8, 7, 7)
    logits, _ = model.roi_head(model.backbone.region_features(pooled))
    torch.testing.assert_close(found.probabilities, logits.softmax(dim=1))
    torch.testing.assert_close(found.probabilities.sum(dim=1), torch.ones(2))


@torch.no_grad()
def test_an_image_without_regions_has_no_predictions(
    detector: MakeDetector, image_batch: MakeBatch, device: torch.device
) -> None:
    model = detector(tiny=True).to(device).eval()
    images = image_batch((64, 64), (64, 64)).to(device)
    features = model.features(images)
    none, one = torch.zeros(0, 4, device=device), torch.tensor([[4.0, 4, 60, 60]], device=device)
    for boxes in ([none, one], [one, none], [none, none]):
        found = model.classify(features, boxes, images.sizes)
        for prediction, own in zip(found, boxes, strict=True):
            assert prediction.probabilities.shape == (len(own), 4)
            assert prediction.boxes.shape == (len(own), 3, 4)


@pytest.mark.parametrize("ignored", [False, True])
def test_images_without_objects_to_learn_train_without_nan(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch, ignored: bool
) -> None:
    model = detector(tiny=True, cross_boundary=False).train()
    nothing = target([[0, 0, 64, 64]], ignored=[True]) if ignored else target([])
    images = image_batch((64, 64), (64, 64))
    losses = model(images, [nothing, nothing])
    losses.total().backward()
    assert all(math.isfinite(value) for value in values(losses))
    assert losses.rpn_box.item() == losses.head_box.item() == 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name  # all take part: processes wait for all of them
        assert bool(parameter.grad.isfinite().all()), name
    if ignored:
        assert losses.total().item() == 0


def test_an_image_without_any_proposal_or_object_trains(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True).train()
    with torch.no_grad():
        model.rpn.deltas.bias[0::4] = 1000.0  # every proposal lies to the right of its image
    losses = model(image_batch((64, 64)), [target([])])
    losses.total().backward()
    assert all(math.isfinite(value) for value in values(losses))
    assert losses.head_class.item() == 0


def test_training_and_inference_use_their_own_proposals(
    detector: MakeDetector,
    target: MakeTarget,
    image_batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = detector(tiny=True)
    used = []
    original = model.rpn.propose

    def spy(*arguments: object) -> object:
        used.append(arguments[-1])
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model.rpn, "propose", spy)
    images = image_batch((64, 64))
    model.eval()(images, [target([])])  # what is computed does not depend on the mode
    model.train().propose(images)
    assert used == [model.rpn.training_proposals, model.rpn.test_proposals]


@pytest.mark.slow
def test_bf16_autocast_runs_and_agrees_roughly(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch, device: torch.device
) -> None:
    model = detector().to(device).train()
    images = image_batch((64, 96)).to(device)
    targets = [target([[10, 10, 60, 50]], labels=[2]).to(device)]
    results = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            losses = model(images, targets)
        results.append(losses)
    assert losses.total().dtype == torch.float32
    assert values(results[1])[:1] == pytest.approx(values(results[0])[:1], rel=0.05)
    losses.total().backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and bool(g.isfinite().all()) for g in grads)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        features, proposals = model.propose(images)
        assert features.dtype == torch.bfloat16
        (found,) = model.classify(features, [proposals[0].boxes], images.sizes)
    assert found.boxes.dtype == found.probabilities.dtype == torch.float32


@torch.no_grad()
def test_a_folded_detector_gives_the_same_detections(
    detector: MakeDetector, image_batch: MakeBatch, with_random_bn: Callable[[nn.Module], None]
) -> None:
    model = detector().eval()
    with_random_bn(model)
    images = image_batch((64, 96))
    boxes = [torch.tensor([[4.0, 4, 60, 60], [0, 0, 20, 30]])]
    features = model.features(images)
    (before,) = model.classify(features, boxes, images.sizes)
    fold(model)
    assert not list(model.backbone.buffers())  # no statistics are left
    folded_features = model.features(images)
    (after,) = model.classify(folded_features, boxes, images.sizes)
    largest = float(features.abs().max())
    assert float((features - folded_features).abs().max()) < 1e-5 * largest
    torch.testing.assert_close(after.probabilities, before.probabilities, atol=1e-4, rtol=1e-4)
    assert folded_features.is_contiguous(memory_format=torch.channels_last)


def test_a_detector_without_classes_is_refused(detector: MakeDetector) -> None:
    with pytest.raises(ValueError, match="num_classes=0"):
        detector(tiny=True, num_classes=0)


@torch.no_grad()
def test_a_box_ends_at_its_last_pixel(detector: MakeDetector) -> None:
    # 600 pixels are 38 rows of 16 (0 ... 37; the last one half outside).  A box down to the lower
    # edge ends with pixel 599, 599 / 16 = 37.4: row 37.  600 / 16 = 37.5 would be row 38, which is
    # not there, and a bin of nothing but that row would be 0.
    model = detector(tiny=True, pooled_size=3).eval()
    features = torch.arange(38.0)[None, None, :, None].expand(1, 1, 38, 38) + 1
    boxes = torch.tensor([[0.0, 560, 600, 600]])  # rows 35, 36, 37
    (pooled,) = model.pool(features, [boxes])
    assert pooled[0].tolist() == [[36] * 3, [37] * 3, [38] * 3]
