"""Exact BN statistics over a training set (He et al. 2015, appendix A).

"After pre-training, we compute the BN statistics (means and variances) for each layer on the
ImageNet training set.  Then the BN layers are fixed during fine-tuning."

The running averages of training are neither exact nor of one network: each batch saw other
weights.  Here the layers get their statistics one after the other, in the order in which data
flows: the statistics of a layer are those of its inputs over the whole set, with all layers before
it fixed already.  So the result does not depend on the size of the batches.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm


class _Reached(Exception):
    """Ends a forward pass at the layer whose input was wanted."""


@torch.no_grad()
def freeze_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the mean and variance of every ``nn.BatchNorm2d`` and puts ``network`` into eval mode.

    ``batches``: inputs of ``network``; iterated over once per layer, so not a generator.  Costs as
    much as half as many forward passes over the data as there are layers: each pass ends at its
    layer.
    """
    network.eval()
    for layer in tqdm(_in_order(network, next(iter(batches))), unit="layer", desc="BN statistics"):
        mean, variance = _input_statistics(network, layer, batches)
        layer.get_buffer("running_mean").copy_(mean)
        layer.get_buffer("running_var").copy_(variance)


def _in_order(network: nn.Module, batch: Tensor) -> list[nn.BatchNorm2d]:
    """The BN layers in the order in which a forward pass reaches them."""
    order: list[nn.BatchNorm2d] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, _: order.append(layer))
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    network(batch)
    for handle in handles:
        handle.remove()
    return order


def _input_statistics(
    network: nn.Module, layer: nn.BatchNorm2d, batches: Iterable[Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean and (population) variance of each channel over all images and positions, float64."""
    count = 0
    mean = squares = torch.zeros(layer.num_features, dtype=torch.float64)

    def observe(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal count, mean, squares
        x = inputs[0].double()
        own_count = x.numel() // x.shape[1]
        own_mean = x.mean(dim=(0, 2, 3))
        own_squares = (x - own_mean[:, None, None]).square().sum(dim=(0, 2, 3))
        # Chan et al. 1983: the statistics of a union, without subtracting large sums.
        shift = own_mean - mean.to(x.device)
        total = count + own_count
        mean = mean.to(x.device) + shift * own_count / total
        squares = squares.to(x.device) + own_squares + shift.square() * count * own_count / total
        count = total
        raise _Reached

    handle = layer.register_forward_pre_hook(observe)
    try:
        for batch in batches:
            try:
                network(batch)
            except _Reached:
                continue
    finally:
        handle.remove()
    return mean, squares / count
