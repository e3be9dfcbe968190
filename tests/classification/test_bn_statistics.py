"""Exact BN statistics."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from detection.classification.bn_statistics import Moments, freeze_statistics
from detection.model.resnet import ResNet


def small_network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
    )


@pytest.fixture
def images() -> Tensor:
    # An offset larger than the spread: the case in which sums of squares lose digits.
    return 30 + torch.randn(13, 3, 9, 9)


def test_equal_to_a_direct_computation_over_all_activations(images: Tensor) -> None:
    network = small_network()
    freeze_statistics(network, list(images.split(4)))

    x = network[0](images).double()
    torch.testing.assert_close(network[1].running_mean.double(), x.mean((0, 2, 3)))
    variance = x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(network[1].running_var.double(), variance, rtol=1e-5, atol=0)
    # The second layer sees what the first one, already fixed, hands over.
    x = network[3](network[2](network[1](network[0](images)))).double()
    torch.testing.assert_close(network[4].running_mean.double(), x.mean((0, 2, 3)))
    variance = x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(network[4].running_var.double(), variance, rtol=1e-5, atol=0)


def test_normalised_activations_have_zero_mean_and_unit_variance(images: Tensor) -> None:
    network = small_network()
    freeze_statistics(network, [images])
    assert not network.training
    with torch.no_grad():
        y = network(images)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-3)
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(5), rtol=0, atol=1e-2)


def test_independent_of_the_size_of_the_batches(images: Tensor) -> None:
    statistics = []
    for size in (13, 5, 1):
        network = small_network()
        freeze_statistics(network, list(images.split(size)))
        statistics.append(network.state_dict())
    for other in statistics[1:]:
        for name, value in statistics[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-5)


def test_independent_of_the_number_of_processes(images: Tensor) -> None:
    together = small_network()
    freeze_statistics(together, [images])
    # Three processes with unequal shards, side by side: each layer's moments are exchanged before
    # the next layer is looked at.
    shards = [images[0::3], images[1::3], images[2::3]]
    assert [len(shard) for shard in shards] == [5, 4, 4]
    networks = [small_network() for _ in shards]
    barrier, box = threading.Barrier(3), [Moments.nothing(0)] * 3

    def process(rank: int) -> None:
        def gather(moments: Moments) -> list[Moments]:
            box[rank] = moments
            barrier.wait(timeout=30)
            gathered = list(box)
            barrier.wait(timeout=30)
            return gathered

        freeze_statistics(networks[rank], list(shards[rank].split(2)), gather=gather)

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for network in networks:
        for name, value in together.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_moments_of_a_union() -> None:
    # Channel values 1, 3 and 5, 7, 9: mean 25 / 5 = 5, deviations 16 + 4 + 0 + 4 + 16 = 40.
    a, b = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in ([1.0, 3.0], [5.0, 7.0, 9.0]))
    union = Moments.of(a) + Moments.of(b)
    assert (union.count, float(union.mean), float(union.squares)) == (5, 5.0, 40.0)
    assert (Moments.nothing(1) + Moments.of(a)).count == 2


def test_each_layer_costs_one_pass_over_the_batches(images: Tensor) -> None:
    passes = 0

    class Counted:
        def __iter__(self) -> Iterator[Tensor]:
            nonlocal passes
            passes += 1
            return iter(images.split(5))

    freeze_statistics(small_network(), Counted())
    assert passes == 1 + 2  # the first batch tells the order; then two layers


def test_every_layer_of_a_resnet_is_reached() -> None:
    network = ResNet(depth=18, stride_in_1x1=False, norm="trained", frozen_stages=[], bin_step=1)
    freeze_statistics(network, [torch.randn(2, 3, 32, 32)])
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 20  # 17 convolutions of 3x3 or 7x7, and 3 projections
    assert all(
        not torch.equal(layer.running_var, torch.ones_like(layer.running_var)) for layer in layers
    )
