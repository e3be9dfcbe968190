"""The CIFAR networks of section 4.2: layers, parameters, multiply-adds, shortcuts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detection.classification.cifar import CifarResNet
from detection.classification.classifier import Classifier
from detection.model.frozen_bn import ConvBN
from detection.model.pixels import PerPixelMean
from detection.model.resnet import PaddedIdentity, Shortcut


def network(
    depth: int, shortcut: Shortcut = "A", widths: tuple[int, ...] = (16, 32, 64)
) -> CifarResNet:
    return CifarResNet(depth=depth, widths=widths, shortcut=shortcut, norm="trained")


# Table 6, in millions.  For 20 layers: 3*16*9 + 6*16*16*9 + (16*32 + 5*32*32)*9
# + (32*64 + 5*64*64)*9 = 267,696 weights of convolutions, twice 16 * 7 + 32 * 6 + 64 * 6 = 688
# of BN, 64 * 10 + 10 = 650 of the fc layer.
TABLE_6 = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}


@pytest.mark.parametrize(
    ("depth", "shortcut"), [*((depth, "A") for depth in TABLE_6), (20, "none"), (56, "none")]
)
@pytest.mark.slow
def test_parameters_and_layers_are_those_of_table_6(depth: int, shortcut: Shortcut) -> None:
    with torch.device("meta"):
        classifier = Classifier(
            pixels=PerPixelMean(side=32), backbone=network(depth, shortcut), num_classes=10
        )
    count = sum(p.numel() for p in classifier.parameters())
    if depth == 20:
        assert count == 267_696 + 2 * 688 + 650
    digits = 2 if depth < 110 else 1
    assert round(count / 1e6, digits) == TABLE_6[depth]
    convolutions = [m for m in classifier.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == depth


def test_maps_are_of_32_16_and_8_pixels() -> None:
    net = network(20).eval()
    x = torch.randn(1, 3, 32, 32)
    shapes = []
    for stage in (net.conv1, net.conv2, net.conv3, net.conv4):
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 64)


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 2), ("C", 9), ("none", 0)])
def test_projections_of_each_option(shortcut: Shortcut, projections: int) -> None:
    net = network(20, shortcut)  # 9 blocks, two of which change the dimensions
    found = [n for n, m in net.named_modules() if n.endswith("shortcut") and isinstance(m, ConvBN)]
    assert len(found) == projections


def test_option_a_is_the_identity_with_zeros_behind() -> None:
    x = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4).to(memory_format=torch.channels_last)
    y = PaddedIdentity(extra=3, stride=2)(x)
    assert y.shape == (2, 5, 2, 2)
    # The first map is 0 ... 15 row by row; every second of it:
    assert y[0, 0].tolist() == [[0.0, 2.0], [8.0, 10.0]]
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_plain_block_hands_on_its_convolutions_alone() -> None:
    plain, residual = network(8, "none").eval(), network(8, "A").eval()
    residual.load_state_dict(plain.state_dict())  # the same layers: no parameters in shortcuts
    x = torch.rand(1, 16, 8, 8)
    block, twin = plain.conv2[0], residual.conv2[0]
    with torch.no_grad():
        convolved = block.conv_b(torch.relu(block.conv_a(x)))
        torch.testing.assert_close(block(x), torch.relu(convolved))
        torch.testing.assert_close(twin(x), torch.relu(convolved + x))


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        network(depth)


def test_other_options_are_refused() -> None:
    with pytest.raises(ValueError, match="no such shortcut option: 'D'"):
        network(20, "D")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="three stages"):
        network(20, widths=(16, 32))
