"""VGG-16 and 19: equal to torchvision's, split before the pooling."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detection.model.vgg import VGG16, VGG19
from detection.weights.torchvision import from_torchvision


@pytest.mark.slow
@torch.no_grad()
def test_equal_to_torchvision_through_both_halves() -> None:
    # 138 million weights: made once, with cheap random values, and shared by the two networks.
    with torch.device("meta"):
        network = torchvision.models.vgg16()
        own = VGG16(frozen_stages=["conv1", "conv2"], dropout=0.5, pooled_size=7)
    network = network.to_empty(device="cpu").eval()
    for parameter in network.parameters():
        fan_in = parameter[0].numel()
        parameter.uniform_(-1, 1).mul_((6 / fan_in) ** 0.5)
    weights, left_out = from_torchvision(network.state_dict())
    own.load_state_dict(weights, assign=True)
    own.eval()
    assert left_out == ["classifier.6.weight", "classifier.6.bias"]

    x = torch.randn(1, 3, 224, 224)
    features = own.features(x)
    assert features.shape == (1, 512, 14, 14)  # 224 / 16: without the last pooling
    hidden = own.region_features(F.max_pool2d(features, 2).to(memory_format=torch.channels_last))
    assert hidden.shape == (1, 4096)
    torch.testing.assert_close(own(x), hidden, rtol=1e-3, atol=1e-3)
    logits = network.classifier[6](hidden)
    expected = network(x)
    assert float((logits - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_the_convolutions_first_weights_keep_the_variance() -> None:
    class Narrow(VGG16):
        region_channels = 8  # fc layers of 4096 take a second to make

    # He et al. 2015 (Delving Deep into Rectifiers), eq. 14.
    network = Narrow(frozen_stages=[], dropout=0.5, pooled_size=1)
    for layer in network.conv4:
        expected = math.sqrt(2 / (9 * layer.out_channels))
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.01)


def small() -> VGG16:
    """The convolutions as they are, and fc layers that are quick to make: one bin, no values."""
    with torch.device("meta"):
        return VGG16(frozen_stages=["conv1", "conv2"], dropout=0.5, pooled_size=1)


def test_multiply_adds_of_vgg_19_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        backbone = VGG19(frozen_stages=[], dropout=0.5, pooled_size=7)
        network = nn.Sequential(backbone, nn.Linear(4096, 1000)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 224, 224))
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 16
    assert round(counter.get_total_flops() / 2 / 1e9, 1) == 19.6  # figure 3


def test_a_larger_image_has_the_average_of_all_places() -> None:
    network = VGG16(frozen_stages=[], dropout=0.5, pooled_size=1).eval()
    x = torch.randn(1, 3, 32, 96)
    with torch.no_grad():
        maps = F.max_pool2d(network.features(x), 2)
        assert maps.shape == (1, 512, 1, 3)
        places = [network.region_features(maps[..., i : i + 1]) for i in range(3)]
        torch.testing.assert_close(network(x), torch.stack(places).mean(0), rtol=1e-4, atol=1e-5)


def test_an_image_too_small_for_the_fc_layers_is_refused() -> None:
    with torch.device("meta"):
        network = VGG16(frozen_stages=[], dropout=0.5, pooled_size=7)
        with pytest.raises(ValueError, match="224 pixels or more"):
            network(torch.empty(1, 3, 223, 300))


def test_thirteen_convolutions_of_which_the_first_four_are_frozen() -> None:
    network = small()
    convs = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(convs) == 13
    frozen = {name for name, conv in convs.items() if not conv.weight.requires_grad}
    assert frozen == {"conv1.0", "conv1.1", "conv2.0", "conv2.1"}
    assert network.fc6.weight.requires_grad


def test_dropout_is_for_training_only() -> None:
    network = small().to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.01)
    pooled = torch.ones(2, 512, 1, 1)
    assert bool((network.eval().region_features(pooled) > 0).all())
    assert bool((network.train().region_features(pooled) == 0).any())


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="conv9"), torch.device("meta"):
        VGG16(frozen_stages=["conv9"], dropout=0.5, pooled_size=1)
