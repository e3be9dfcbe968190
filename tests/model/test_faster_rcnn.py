"""The whole detector: gradients, chunks, batches, precision, and two images learnt by heart."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from detection.boxes import iou
from detection.inference.post_processing import PostProcessing
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
def test_each_image_is_classified_on_its_own_features(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True).eval()
    images = image_batch((64, 64), (64, 64))
    features = model.features(images)
    boxes = [torch.tensor([[4.0, 4, 60, 60]])] * 2
    together = model.classify(features, boxes, images.sizes)
    for i in range(2):
        (alone,) = model.classify(features[i : i + 1], [boxes[i]], [images.sizes[i]])
        torch.testing.assert_close(alone.probabilities, together[i].probabilities)
        torch.testing.assert_close(alone.boxes, together[i].boxes)
    assert not torch.equal(together[0].probabilities, together[1].probabilities)


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


@torch.no_grad()
def test_the_other_images_pixels_do_not_matter(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector().eval()
    images = image_batch((64, 96), (96, 64))
    others = ImageBatch(images.pixels.clone(), images.sizes)
    others.pixels[1, :, :64] = 255 - others.pixels[1, :, :64]
    (a, a_other), (b, b_other) = (model.propose(batch)[1] for batch in (images, others))
    torch.testing.assert_close(a.boxes, b.boxes, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(a.logits, b.logits, atol=1e-5, rtol=1e-5)
    assert not torch.equal(a_other.logits, b_other.logits)


@torch.no_grad()
def test_padding_changes_nothing_beyond_the_reach_of_the_convolutions(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    # The tiny backbone sees 16 x 16 pixels, the RPN's convolution one position more: of the
    # 64 x 64 image's 4 x 4 positions the outer ones at the right and the bottom see the padding.
    # (py-faster-rcnn and detectron2 are no different: zeros are what a convolution pads with, but
    # only in its own input; deeper layers see what the layers before made of them.)
    model = detector(tiny=True).eval()
    batch = image_batch((64, 64), (96, 128))
    alone = ImageBatch(batch.pixels[:1, :64, :64], batch.sizes[:1])
    logits, deltas = model.rpn(model.features(alone))
    padded_logits, padded_deltas = model.rpn(model.features(batch))
    k = model.rpn.anchors.per_position
    own = logits.reshape(4, 4, k)[:3, :3]
    padded = padded_logits[0].reshape(6, 8, k)[:3, :3]
    torch.testing.assert_close(own, padded)
    torch.testing.assert_close(
        deltas.reshape(4, 4, k, 4)[:3, :3], padded_deltas[0].reshape(6, 8, k, 4)[:3, :3]
    )


@torch.no_grad()
def test_proposals_and_boxes_stay_in_their_own_image(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, test_proposals=15).eval()
    model.rpn.deltas.weight.normal_(std=1.0)
    model.roi_head.deltas.weight.normal_(std=5.0)
    images = image_batch((64, 96), (96, 50))
    features, proposals = model.propose(images)
    predictions = model.classify(features, [p.boxes for p in proposals], images.sizes)
    for (height, width), found, predicted in zip(images.sizes, proposals, predictions, strict=True):
        assert 0 < len(found.boxes) <= 15
        for boxes in (found.boxes, predicted.boxes):
            assert float(boxes.min()) >= 0
            assert float(boxes[..., 2].max()) <= width
            assert float(boxes[..., 3].max()) <= height


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


@torch.no_grad()
def test_global_context_is_the_whole_images_feature_beside_each_regions(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, context=True).eval()
    images = image_batch((64, 96), (80, 64))
    features = model.features(images)
    boxes = [torch.tensor([[4.0, 4, 60, 60], [0, 0, 20, 30]]), torch.tensor([[8.0, 0, 50, 70]])]
    found = model.classify(features, boxes, images.sizes)
    for i, (height, width) in enumerate(images.sizes):

        def feature(box: Tensor, i: int = i) -> Tensor:
            pooled = model.pool(features[i : i + 1], [box[None]])
            return model.backbone.region_features(pooled)[0]

        whole = feature(torch.tensor([0.0, 0, width, height]))
        for number, box in enumerate(boxes[i]):
            both = torch.cat((feature(box), whole))
            logits = model.roi_head.logits(both)
            torch.testing.assert_close(found[i].probabilities[number], logits.softmax(0))
    # It is context that speaks: another image's gives other probabilities.
    swapped = model.context(features, images.sizes).flip(0)  # type: ignore[union-attr]
    own = model.backbone.region_features(model.pool(features, boxes))
    other = model.predict(own, boxes, images.sizes, swapped)
    assert not torch.allclose(other[0].probabilities, found[0].probabilities)


def test_a_detector_without_context_has_none(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model, images = detector(tiny=True).eval(), image_batch((64, 64))
    assert model.context(model.features(images), images.sizes) is None
    assert model.roi_head.logits.in_features == 6


def test_global_context_is_trained_end_to_end(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, context=True).train()
    assert model.roi_head.logits.in_features == 12
    # With the regions' own half silenced, all that reaches the backbone comes through the context.
    with torch.no_grad():
        model.roi_head.logits.weight[:, :6] = 0
        model.roi_head.deltas.weight[:, :6] = 0
    images, targets = image_batch((64, 64)), [target([[10, 10, 60, 50]], labels=[2])]
    losses = model(images, targets)
    (losses.head_class + losses.head_box).backward()
    gradient = model.backbone.per_region.weight.grad
    assert gradient is not None
    assert bool(gradient.any())
    assert bool(model.backbone.shared.weight.grad.any())
    # ... and the half of the two layers that reads the context learns.
    assert bool(model.roi_head.logits.weight.grad[:, 6:].any())


def test_a_detector_without_classes_is_refused(detector: MakeDetector) -> None:
    with pytest.raises(ValueError, match="num_classes=0"):
        detector(tiny=True, num_classes=0)


def two_images() -> tuple[ImageBatch, list[tuple[list[list[float]], list[int]]]]:
    """Two pictures: rectangles on grey noise, blue ones of class 1, red ones of class 2."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(90, 150, (2, 96, 128, 3), generator=generator, dtype=torch.uint8)
    objects: list[tuple[list[list[float]], list[int]]] = [
        ([[12, 10, 46, 44], [58, 22, 122, 86]], [1, 2]),
        ([[34, 14, 98, 80]], [2]),
    ]
    for image, (boxes, labels) in zip(pixels, objects, strict=True):
        for box, label in zip(boxes, labels, strict=True):
            x1, y1, x2, y2 = (int(side) for side in box)
            image[y1:y2, x1:x2] = torch.tensor([250, 40, 30] if label == 1 else [30, 40, 250])
    return ImageBatch(pixels, [(96, 128)] * 2), objects


def test_two_images_are_learnt_by_heart(detector: MakeDetector, target: MakeTarget) -> None:
    images, objects = two_images()
    targets = [target(boxes, labels) for boxes, labels in objects]
    model = detector(
        num_classes=2,
        pooled_size=4,
        regions_per_image=24,
        foreground_fraction=0.5,
        frozen_stages=["conv1", "conv2", "conv3"],
    )
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [36, 51], gamma=0.3)
    history = []
    model.train()
    for step in range(60):
        torch.manual_seed(step)
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()
        history.append(losses.total().item())
    # About 2.0 in the beginning and 0.3 in the end.
    assert sum(history[-5:]) < 0.4 * sum(history[:5])

    model.eval()
    with torch.no_grad():
        features, proposals = model.propose(images)
        predictions = model.classify(features, [p.boxes for p in proposals], images.sizes)
    keep = PostProcessing(score_threshold=0.5, nms_iou=0.3, voting_iou=None, per_image=10)
    for prediction, wanted in zip(predictions, targets, strict=True):
        found = keep(prediction)
        overlaps = iou(wanted.boxes, found.boxes)
        assert len(found) == len(wanted.labels)
        best, index = overlaps.max(dim=1)  # 0.77 to 0.91 when this was written
        assert float(best.min()) > 0.6
        assert torch.equal(found.labels[index], wanted.labels)
