"""Layer responses: the standard deviation after BN, before ReLU, of every 3x3 layer."""

from __future__ import annotations

import pytest
import torch

from detection.classification.cifar import CifarResNet
from detection.classification.classifier import Classifier
from detection.classification.responses import layer_responses
from detection.model.pixels import PixelFormat
from detection.model.vgg import VGG16

PIXELS = PixelFormat(order="BGR", mean=[0, 0, 0], std=[1, 1, 1])


def classifier() -> Classifier:
    torch.manual_seed(0)
    backbone = CifarResNet(depth=8, widths=[4, 8, 8], shortcut="A", norm="trained")
    return Classifier(pixels=PIXELS, backbone=backbone, num_classes=3)


def test_they_are_those_of_all_outputs_together() -> None:
    built = classifier()
    images = torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8)
    found = layer_responses(built, [images[:4], images[4:]])
    assert len(found) == 7  # 6n + 2 layers without the fc layer; option A has no projections
    assert next(iter(found)) == "conv1"
    first = built.backbone.conv1(PIXELS.normalise(images))
    assert found["conv1"] == pytest.approx(float(first.double().std(correction=0)), rel=1e-5)
    assert not any(layer._forward_hooks for layer in built.modules())


def test_stronger_layers_answer_more_strongly() -> None:
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    built = classifier()
    before = layer_responses(built, [images])
    layer = built.backbone.conv3[0].conv_b
    with torch.no_grad():
        layer.bn.weight.mul_(3)
    after = layer_responses(built, [images])
    assert after["conv3.0.conv_b"] == pytest.approx(3 * before["conv3.0.conv_b"], rel=1e-5)
    assert after["conv3.0.conv_a"] == before["conv3.0.conv_a"]


def test_what_has_no_answer_says_so() -> None:
    with pytest.raises(ValueError, match="no images"):
        layer_responses(classifier(), [])
    backbone = VGG16(frozen_stages=[], dropout=0.5, pooled_size=7)
    without = Classifier(pixels=PIXELS, backbone=backbone, num_classes=2)
    with pytest.raises(ValueError, match="no 3x3 layers before BN"):
        layer_responses(without, [])
