"""The images of a mini-batch do not mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from detection.model.alternating import network_to_train
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, Target

MakeDetector = Callable[..., FasterRCNN]
MakeBatch = Callable[..., ImageBatch]
MakeTarget = Callable[..., Target]


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


def test_images_of_one_size_come_without_padding(image_batch: MakeBatch) -> None:
    images = image_batch((64, 96), (96, 64), (64, 96))
    groups = images.of_one_size()
    assert [places for places, _ in groups] == [[0, 2], [1]]
    for places, group in groups:
        height, width = images.sizes[places[0]]
        assert group.sizes == [(height, width)] * len(places)
        assert torch.equal(group.pixels, images.pixels[places][:, :height, :width])
    (whole,) = image_batch((64, 96), (64, 96)).of_one_size()
    assert whole[0] == [0, 1]


def losses_and_gradients(
    model: nn.Module, images: ImageBatch, targets: list[Target]
) -> dict[str, torch.Tensor]:
    model.zero_grad()
    losses = model(images, targets)
    losses.total().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**losses.detached(), **{name: grad.clone() for name, grad in gradients.items()}}


@pytest.mark.parametrize(
    ("alternating", "context"),
    [(None, False), (None, True), ("rpn", False), ("fast_rcnn", False), ("fast_rcnn", True)],
)
def test_an_image_teaches_the_same_beside_any_other(
    alternating: Any,
    context: bool,
    detector: MakeDetector,
    image_batch: MakeBatch,
    target: MakeTarget,
) -> None:
    model = detector(tiny=True, regions_per_image=8, context=context).train()
    network = network_to_train(model, train_only=alternating, shared_fixed=False)
    images = image_batch((64, 96), (96, 64), (80, 80), (64, 96))
    proposals = torch.tensor([[1.0, 2, 40, 50], [20, 20, 50, 60], [0, 0, 64, 64]])
    targets = [
        replace(target([[4, 4, 40 + i, 50]]), seed=2 * i, proposals=proposals) for i in range(4)
    ]
    together = losses_and_gradients(network, images, targets)
    alone = [
        losses_and_gradients(network, _single(images, i), [targets[i]]) for i in range(len(targets))
    ]
    assert len(together) > 5
    for name, value in together.items():
        mean = torch.stack([image[name] for image in alone]).mean(dim=0)
        tolerance = 1e-5 * float(mean.abs().max())
        torch.testing.assert_close(value, mean, rtol=0, atol=tolerance, msg=name)


def _single(images: ImageBatch, place: int) -> ImageBatch:
    height, width = images.sizes[place]
    return ImageBatch(images.pixels[place : place + 1, :height, :width], [(height, width)])


def test_bn_that_learns_sees_the_whole_mini_batch(
    detector: MakeDetector, image_batch: MakeBatch, target: MakeTarget
) -> None:
    model = detector(tiny=True)
    model.backbone.add_module("bn", nn.BatchNorm2d(4))
    images = image_batch((64, 96), (96, 64))
    ((part, _),) = model.groups(images, [target([]), target([])])
    assert part is images


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
