"""Exact BN statistics over a training set (He et al. 2015, appendix A).

"After pre-training, we compute the BN statistics (means and variances) for each layer on the
ImageNet training set.  Then the BN layers are fixed during fine-tuning."

The running averages of training are not exact, and each batch saw other weights.  Here the layers
get their statistics one after another, in the order of the forward pass: the statistics of a layer
are those of its inputs over the whole set, with all earlier layers fixed.  Therefore the result
depends neither on the batch size nor on the number of processes that share the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm


@dataclass(frozen=True)
class Moments:
    """The moments of ``count`` values per channel.

    ``mean``: float64 [C].  ``squares``: float64 [C], the sum of the squared deviations from it.
    Both on the CPU.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """The moments of each channel of [N, C, H, W], over all images and positions."""
        x = x.double()
        mean = x.mean(dim=(0, 2, 3))
        squares = (x - mean[:, None, None]).square().sum(dim=(0, 2, 3))
        return cls(x.numel() // x.shape[1], mean.cpu(), squares.cpu())

    @classmethod
    def nothing(cls, channels: int) -> Moments:
        zeros = torch.zeros(channels, dtype=torch.float64)
        return cls(0, zeros, zeros)

    def __add__(self, other: Moments) -> Moments:
        """The moments of the union, without differences of large sums (Chan et al. 1983)."""
        total = self.count + other.count
        if total == 0:
            return self
        shift = other.mean - self.mean
        return Moments(
            total,
            self.mean + shift * other.count / total,
            self.squares + other.squares + shift.square() * self.count * other.count / total,
        )


Gather = Callable[[Moments], list[Moments]]


def _alone(moments: Moments) -> list[Moments]:
    return [moments]


class _Reached(Exception):
    """Ends a forward pass at the layer whose input is observed."""


@torch.no_grad()
def freeze_statistics(
    network: nn.Module,
    batches: Iterable[Tensor],
    *,
    forward: Callable[[Tensor], object] | None = None,
    gather: Gather = _alone,
) -> None:
    """Sets the mean and variance of every ``nn.BatchNorm2d`` and puts ``network`` into eval mode.

    ``batches``: is iterated over once per layer, so it cannot be a generator.  A pass ends at its
    layer, so L layers cost about L / 2 forward passes over the data.
    ``forward``: sends one of ``batches`` through the layers; None: ``network`` itself.
    ``gather``: the moments of this process -> those of all processes, each with a shard of the
    images.
    """
    network.eval()
    forward = forward or network
    order = _in_order(network, forward, next(iter(batches)))
    for layer in tqdm(order, unit="layer", desc="BN statistics"):
        moments_of_processes = gather(_input_moments(layer, forward, batches))
        moments = sum(moments_of_processes, Moments.nothing(layer.num_features))
        layer.get_buffer("running_mean").copy_(moments.mean)
        layer.get_buffer("running_var").copy_(moments.squares / moments.count)


def _in_order(
    network: nn.Module, forward: Callable[[Tensor], object], batch: Tensor
) -> list[nn.BatchNorm2d]:
    """The BN layers in the order in which a forward pass reaches them."""
    order: list[nn.BatchNorm2d] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, _: order.append(layer))
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    forward(batch)
    for handle in handles:
        handle.remove()
    return order


def _input_moments(
    layer: nn.BatchNorm2d, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> Moments:
    moments = Moments.nothing(layer.num_features)

    def observe(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal moments
        moments = moments + Moments.of(inputs[0])
        raise _Reached

    handle = layer.register_forward_pre_hook(observe)
    try:
        for batch in batches:
            try:
                forward(batch)
            except _Reached:
                continue
    finally:
        handle.remove()
    return moments
