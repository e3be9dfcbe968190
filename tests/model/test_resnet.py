"""The ResNets of table 1: equal to torchvision's, also when folded or pooled more sparsely."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detection.load_weights import load_weights
from detection.model.frozen_bn import ConvBN, fold
from detection.model.resnet import ResNet, Shortcut
from detection.weights.torchvision import from_torchvision

pytestmark = pytest.mark.slow

RandomBN = Callable[[nn.Module], None]


def resnet(depth: int, *, stride_in_1x1: bool = False, bin_step: int = 1) -> ResNet:
    return ResNet(
        depth=depth,
        stride_in_1x1=stride_in_1x1,
        norm="frozen",
        frozen_stages=[],
        bin_step=bin_step,
    )


def torchvision_resnet(depth: int, *, stride_in_1x1: bool, with_random_bn: RandomBN) -> nn.Module:
    """Random weights and statistics; without its classifier."""
    network = getattr(torchvision.models, f"resnet{depth}")()
    network.fc = nn.Identity()
    with_random_bn(network)
    if stride_in_1x1:
        for stage in (network.layer2, network.layer3, network.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return network.eval()


def assert_equal_to(a: Tensor, b: Tensor, *, relative: float) -> None:
    """Relative to the largest value: the outputs of an untrained network have any scale."""
    assert a.shape == b.shape
    assert (a - b).abs().max().item() <= relative * b.abs().max().item()


@pytest.mark.parametrize(
    ("depth", "stride_in_1x1"), [(18, False), (50, False), (50, True)], ids=str
)
def test_equal_to_torchvision_in_outputs_and_gradients(
    depth: int, stride_in_1x1: bool, with_random_bn: RandomBN
) -> None:
    expected = torchvision_resnet(
        depth, stride_in_1x1=stride_in_1x1, with_random_bn=with_random_bn
    ).double()
    own = resnet(depth, stride_in_1x1=stride_in_1x1).double()
    weights, _ = from_torchvision(expected.state_dict())
    load_weights(own, weights, source="torchvision")
    x = torch.randn(1, 3, 65, 97, dtype=torch.float64)  # odd sizes: all the rounding is exercised
    ours, theirs = own(x), expected(x)
    assert_equal_to(ours, theirs, relative=1e-10)

    ours.square().mean().backward()
    theirs.square().mean().backward()
    gradients = {name: p.grad for name, p in expected.named_parameters()}
    renamed, _ = from_torchvision({k: v for k, v in gradients.items() if v is not None})
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None
        assert_equal_to(parameter.grad, renamed[name], relative=1e-8)


def test_features_are_those_of_the_first_four_stages(with_random_bn: RandomBN) -> None:
    expected = torchvision_resnet(18, stride_in_1x1=False, with_random_bn=with_random_bn)
    own = resnet(18)
    load_weights(own, from_torchvision(expected.state_dict())[0], source="torchvision")
    expected.layer4 = expected.avgpool = nn.Identity()
    x = torch.randn(1, 3, 64, 96)
    features = own.features(x)
    assert features.shape == (1, 256, 4, 6)  # 64 / 16, 96 / 16
    assert_equal_to(features.flatten(1), expected(x), relative=1e-5)


def test_folding_changes_nothing(with_random_bn: RandomBN) -> None:
    network = resnet(50, stride_in_1x1=True).eval()
    with_random_bn(network)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(x)
        folded = fold(network)
        assert not any(isinstance(module, ConvBN) for module in folded.modules())
        assert_equal_to(folded(x), before, relative=1e-5)


def test_pooling_every_second_bin_is_the_same_function(with_random_bn: RandomBN) -> None:
    whole, sparse = (resnet(50, stride_in_1x1=True, bin_step=step) for step in (1, 2))
    with_random_bn(whole)
    sparse.load_state_dict(whole.state_dict())
    for side in (14, 7):  # an even and an odd number of bins
        pooled = torch.randn(3, 1024, side, side)
        with torch.no_grad():
            expected = whole.region_features(pooled)
            got = sparse.region_features(pooled[:, :, ::2, ::2])
        assert_equal_to(got, expected, relative=1e-6)


def test_bin_step_does_not_change_the_classifier(with_random_bn: RandomBN) -> None:
    whole, sparse = (resnet(50, stride_in_1x1=True, bin_step=step) for step in (1, 2))
    with_random_bn(whole)
    sparse.load_state_dict(whole.state_dict())
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert_equal_to(sparse(x), whole(x), relative=1e-6)


# Blocks of table 1, and torchvision's published number of parameters without the fc layer,
# (512 or 2048) * 1000 + 1000: for 18 layers 11,689,512 - 513,000.
TABLE_1 = {
    18: ((2, 2, 2, 2), 11_689_512 - 513_000),
    34: ((3, 4, 6, 3), 21_797_672 - 513_000),
    50: ((3, 4, 6, 3), 25_557_032 - 2_049_000),
    101: ((3, 4, 23, 3), 44_549_160 - 2_049_000),
    152: ((3, 8, 36, 3), 60_192_808 - 2_049_000),
}


@pytest.mark.parametrize("depth", TABLE_1)
@pytest.mark.parametrize("stride_in_1x1", [False, True])
def test_blocks_layers_and_parameters_are_those_of_table_1(depth: int, stride_in_1x1: bool) -> None:
    with torch.device("meta"):
        network = ResNet(
            depth=depth,
            stride_in_1x1=stride_in_1x1,
            norm="trained",
            frozen_stages=[],
            bin_step=1,
        )
    blocks, parameters = TABLE_1[depth]
    stages = [network.conv2, network.conv3, network.conv4, network.conv5]
    assert tuple(len(stage) for stage in stages) == blocks
    assert sum(p.numel() for p in network.parameters()) == parameters
    # A network is named after its layers with weights: all but the projections, and the fc layer.
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, ConvBN) and not name.endswith("shortcut")
    ]
    assert len(layers) + 1 == depth
    assert network.feature_channels == (256 if depth < 50 else 1024)
    assert network.region_channels == (512 if depth < 50 else 2048)


# Billions of multiply-adds of an image of 224x224 (table 1, figure 3).  The paper rounds 3.86 down
# and 7.58 up.
MULTIPLY_ADDS = {
    (18, "B"): 1.8,
    (34, "A"): 3.6,
    (34, "none"): 3.6,
    (50, "B"): 3.8,
    (101, "B"): 7.6,
    (152, "B"): 11.3,
}


@pytest.mark.parametrize(("depth", "shortcut"), MULTIPLY_ADDS)
def test_multiply_adds_are_those_of_the_paper(depth: int, shortcut: Shortcut) -> None:
    with torch.device("meta"):
        backbone = ResNet(
            depth=depth,
            stride_in_1x1=True,
            norm="trained",
            frozen_stages=[],
            bin_step=1,
            shortcut=shortcut,
        )
        network = nn.Sequential(backbone, nn.Linear(backbone.region_channels, 1000)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 224, 224))
    billions = counter.get_total_flops() / 2 / 1e9  # a multiply-add is two operations
    assert abs(billions - MULTIPLY_ADDS[depth, shortcut]) < 0.065


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 3), ("C", 8), ("none", 0)])
def test_projections_of_each_shortcut_option(shortcut: Shortcut, projections: int) -> None:
    # ResNet-18 has eight blocks; conv3_1, conv4_1 and conv5_1 change the dimensions.
    with torch.device("meta"):
        network = ResNet(
            depth=18,
            stride_in_1x1=False,
            norm="trained",
            frozen_stages=[],
            bin_step=1,
            shortcut=shortcut,
        )
    names = {n for n, m in network.named_modules() if isinstance(m, ConvBN)}
    assert len({name for name in names if name.endswith("shortcut")}) == projections
    assert len({name for name in names if not name.endswith("shortcut")}) + 1 == 18


def test_frozen_stages_get_no_gradients() -> None:
    network = ResNet(
        depth=18,
        stride_in_1x1=False,
        norm="frozen",
        frozen_stages=["conv1", "conv2"],
        bin_step=1,
    )
    network(torch.randn(1, 3, 32, 32)).sum().backward()
    for name, parameter in network.named_parameters():
        frozen = name.startswith(("conv1.", "conv2."))
        assert parameter.requires_grad is not frozen, name
        assert (parameter.grad is None) is frozen, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 20}, "no ResNet of depth 20"),
        ({"frozen_stages": ["conv6"]}, "no such stage: .*conv6"),
        ({"bin_step": 3}, "bin_step must be 1 or 2"),
        ({"bin_step": 2, "stride_in_1x1": False}, "set bin_step=1"),
        ({"bin_step": 2, "depth": 18}, "set bin_step=1"),
        ({"shortcut": "b"}, "no such shortcut option: 'b'"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "depth": 50,
        "stride_in_1x1": True,
        "norm": "frozen",
        "frozen_stages": [],
        "bin_step": 1,
    }
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        ResNet(**(arguments | changes))  # type: ignore[arg-type]


@torch.no_grad()
def test_the_extra_bn_normalises_conv5_before_its_average() -> None:
    network = ResNet(
        depth=18, stride_in_1x1=False, norm="trained_extra", frozen_stages=[], bin_step=1
    ).eval()
    network.conv5_bn.running_mean.uniform_(-1, 1)
    network.conv5_bn.running_var.uniform_(0.5, 2)
    pooled = torch.rand(3, 256, 4, 4)
    expected = network.conv5_bn(network.conv5(pooled)).mean(dim=(2, 3))
    assert torch.equal(network.region_features(pooled), expected)
    assert {name for name in network.state_dict() if name.startswith("conv5_bn.")} == {
        f"conv5_bn.{name}"
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert network.conv1.bn.training is False  # and learns otherwise, as every other one
    assert isinstance(network.conv1.bn, nn.BatchNorm2d)
