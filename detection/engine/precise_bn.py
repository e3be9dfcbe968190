"""BN statistics of the network as it is now, for a detector whose BN learns.

The running averages of training come from many different networks.  As in detectron2's PRECISE_BN,
which MoCo's protocol uses, they are replaced before measuring by means over mini-batches that all
see the same weights.  (The exact statistics of :mod:`detection.classification.bn_statistics` need
a pass for each layer: too many for detectors.)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from tqdm import tqdm

from detection.data.loader import Batch
from detection.model.faster_rcnn import FasterRCNN
from detection.precision import Precision, autocast


@torch.no_grad()
def average_statistics(
    model: FasterRCNN,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    precision: Precision,
    show: bool,
) -> None:
    """Sets every BN's mean and variance to the means over ``batches``, in training mode.

    ``show``: whether this process shows the bar.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch: a cumulative average, all mini-batches alike
    model.train()
    for batch in tqdm(batches, desc="BN statistics", unit="it", disable=not show):
        moved = batch.to(device)
        with autocast(device, precision):
            model(moved.images, moved.targets)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
