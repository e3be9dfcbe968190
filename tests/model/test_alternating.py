"""The two networks of the detector by themselves: their losses, and which layers learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from detection.model.alternating import Network, network_to_train
from detection.model.faster_rcnn import FasterRCNN
from detection.model.resnet import ResNet
from detection.model.vgg import VGG16
from detection.structures import ImageBatch, Losses, Target

MakeDetector = Callable[..., FasterRCNN]
MakeBatch = Callable[..., ImageBatch]
MakeTarget = Callable[..., Target]

# Everything is sampled, so that no loss depends on random numbers.
EVERYTHING = {
    "anchors_per_image": 10_000,
    "regions_per_image": 10_000,
    "foreground_fraction": 1.0,
    "pooled_size": 4,
}


def learning(model: FasterRCNN) -> set[str]:
    """The layers with a parameter that learns, as "backbone.conv4", "rpn", "roi_head"."""
    names = [name.split(".") for name, p in model.named_parameters() if p.requires_grad]
    return {".".join(name[: 2 if name[0] == "backbone" else 1]) for name in names}


def joint_losses(model: FasterRCNN, images: ImageBatch, targets: list[Target]) -> Losses:
    torch.manual_seed(0)
    return model(images, targets)


def test_the_rpn_alone_has_the_losses_of_joint_training(
    detector: MakeDetector, image_batch: MakeBatch, target: MakeTarget
) -> None:
    model, images = detector(**EVERYTHING), image_batch((64, 96))
    targets = [target([[8, 8, 40, 40]])]
    joint = joint_losses(model, images, targets)
    alone = network_to_train(model, train_only="rpn", shared_fixed=False)(images, targets)
    assert alone.detached().keys() == {"rpn_objectness", "rpn_box", "total"}
    torch.testing.assert_close(alone.rpn_objectness, joint.rpn_objectness)
    torch.testing.assert_close(alone.rpn_box, joint.rpn_box)
    torch.testing.assert_close(alone.total(), joint.rpn_objectness + joint.rpn_box)


def test_fast_rcnn_alone_has_the_losses_of_joint_training_on_the_same_proposals(
    detector: MakeDetector, image_batch: MakeBatch, target: MakeTarget
) -> None:
    model, images = detector(**EVERYTHING), image_batch((64, 96))
    targets = [target([[8, 8, 40, 40]], labels=[2])]
    joint = joint_losses(model, images, targets)
    model.rpn.test_proposals = model.rpn.training_proposals
    with torch.no_grad():
        _, proposals = model.propose(images)
    given = [replace(targets[0], proposals=proposals[0].boxes)]
    alone = network_to_train(model, train_only="fast_rcnn", shared_fixed=False)(images, given)
    assert alone.detached().keys() == {"head_class", "head_box", "total"}
    torch.testing.assert_close(alone.head_class, joint.head_class)
    torch.testing.assert_close(alone.head_box, joint.head_box)


@pytest.mark.parametrize(
    ("train_only", "shared_fixed", "expected"),
    [
        (None, False, {"backbone.conv3", "backbone.conv4", "backbone.conv5", "rpn", "roi_head"}),
        ("rpn", False, {"backbone.conv3", "backbone.conv4", "rpn"}),
        ("fast_rcnn", False, {"backbone.conv3", "backbone.conv4", "backbone.conv5", "roi_head"}),
        ("rpn", True, {"rpn"}),
        ("fast_rcnn", True, {"backbone.conv5", "roi_head"}),
    ],
)
def test_what_learns_in_each_step(
    detector: MakeDetector, train_only: Network | None, shared_fixed: bool, expected: set[str]
) -> None:
    model = detector()  # conv1 and conv2 are frozen anyway
    network_to_train(model, train_only=train_only, shared_fixed=shared_fixed)
    assert learning(model) == expected


@pytest.mark.parametrize(("train_only", "shared_fixed"), [("rpn", True), ("fast_rcnn", False)])
def test_everything_that_learns_gets_a_gradient(
    detector: MakeDetector,
    image_batch: MakeBatch,
    target: MakeTarget,
    train_only: Network | None,
    shared_fixed: bool,
) -> None:
    # A process group waits for ever for a parameter without one.
    model = detector(**EVERYTHING)
    targets = [replace(target([[8, 8, 40, 40]]), proposals=torch.tensor([[9.0, 9, 42, 39]]))]
    trained = network_to_train(model, train_only=train_only, shared_fixed=shared_fixed)
    trained(image_batch((64, 64)), targets).total().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_vggs_fc_layers_are_not_shared(detector: MakeDetector) -> None:
    model = detector(backbone=VGG16(frozen_stages=[], dropout=0.0, pooled_size=1), pooled_size=1)
    network_to_train(model, train_only="fast_rcnn", shared_fixed=True)
    assert learning(model) == {"backbone.fc6", "backbone.fc7", "roi_head"}


def test_one_network_is_not_trained_alone_with_bn_that_learns(detector: MakeDetector) -> None:
    backbone = ResNet(
        depth=18,
        stride_in_1x1=False,
        norm="trained",
        frozen_stages=[],
        bin_step=1,
    )
    model = detector(backbone=backbone)
    network_to_train(model, train_only=None, shared_fixed=False)
    with pytest.raises(ValueError, match=r"train_only=rpn needs BN that is fixed .*norm=frozen"):
        network_to_train(model, train_only="rpn", shared_fixed=False)


def test_an_unknown_network_is_refused(detector: MakeDetector) -> None:
    with pytest.raises(ValueError, match="train_only must be rpn, fast_rcnn or null, got 'head'"):
        network_to_train(detector(), train_only="head", shared_fixed=False)  # type: ignore[arg-type]
