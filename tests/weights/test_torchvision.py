"""torchvision's names: every one accounted for, none guessed."""

from __future__ import annotations

import pytest
import torch
import torchvision

from detection.model.resnet import ResNet
from detection.model.vgg import VGG16
from detection.weights.torchvision import from_torchvision


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_every_name_of_a_resnet_is_used_or_left_out_for_a_reason(depth: int) -> None:
    with torch.device("meta"):
        given = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        own = ResNet(
            depth=depth, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1
        ).state_dict()
    renamed, left_out = from_torchvision(given)
    assert {name: value.shape for name, value in renamed.items()} == {
        name: value.shape for name, value in own.items()
    }
    assert len(renamed) + len(left_out) == len(given)
    assert {name for name in left_out if not name.endswith("num_batches_tracked")} == {
        "fc.weight",
        "fc.bias",
    }


def test_every_name_of_vgg16_is_used_or_left_out_for_a_reason() -> None:
    with torch.device("meta"):
        given = torchvision.models.vgg16().state_dict()
        own = VGG16(frozen_stages=[], dropout=0.5, pooled_size=7).state_dict()
    renamed, left_out = from_torchvision(given)
    assert {name: value.shape for name, value in renamed.items()} == {
        name: value.shape for name, value in own.items()
    }
    assert left_out == ["classifier.6.weight", "classifier.6.bias"]


def test_layer1_is_the_papers_conv2() -> None:
    value = torch.ones(1)
    names = {
        "conv1.weight": "conv1.conv.weight",
        "bn1.running_var": "conv1.bn.running_var",
        "layer1.0.conv1.weight": "conv2.0.conv_a.conv.weight",
        "layer4.2.bn3.bias": "conv5.2.conv_c.bn.bias",
        "layer2.0.downsample.0.weight": "conv3.0.shortcut.conv.weight",
        "layer2.0.downsample.1.running_mean": "conv3.0.shortcut.bn.running_mean",
        "layer3.22.conv2.weight": "conv4.22.conv_b.conv.weight",
    }
    renamed, left_out = from_torchvision(dict.fromkeys(names, value))
    assert list(renamed) == list(names.values())
    assert not left_out


@pytest.mark.parametrize(
    "name",
    [
        "backbone.conv1.weight",
        "module.conv1.weight",
        "layer5.0.conv1.weight",
        "layer1.0.conv4.weight",
        "layer1.0.se.fc.weight",  # squeeze and excitation: not the classifier
        "layer1.0.downsample.2.weight",
        "extra.num_batches_tracked",
        "layer1.weight",
        "weight",
        "features.1.weight",  # a BN of VGG-16 with BN
        "classifier.9.weight",
    ],
)
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is no parameter of torchvision's"):
        from_torchvision({"conv1.weight": torch.ones(1), name: torch.ones(1)})
