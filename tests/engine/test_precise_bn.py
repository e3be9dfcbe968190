"""BN statistics before measuring: means over mini-batches that all see the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from detection.data.loader import Batch
from detection.engine.precise_bn import average_statistics
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, Target


class WithBN(nn.Module):
    """A backbone whose BN sees the first pixels of what comes in."""

    stride = 16
    bin_step = 1
    feature_channels = 3
    region_channels = 3
    region_layers = ()

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def features(self, pixels: Tensor) -> Tensor:
        return self.bn(pixels[:, :, ::16, ::16])

    def region_features(self, pooled: Tensor) -> Tensor:
        return pooled.mean(dim=(2, 3))


def test_statistics_are_the_means_over_the_batches(
    detector: Callable[..., FasterRCNN],
    image_batch: Callable[..., ImageBatch],
    target: Callable[..., Target],
) -> None:
    model = detector(backbone=WithBN())
    model.backbone.bn.running_mean.fill_(50)  # of a training that was long ago
    batches = [
        Batch(image_batch((64, 64), (64, 64), seed=seed), [target([[8, 8, 40, 40]])] * 2)
        for seed in range(3)
    ]
    before = {name: value.clone() for name, value in model.named_parameters()}
    average_statistics(model, batches, device=torch.device("cpu"), precision="fp32", show=False)
    seen = [model.pixels(batch.images)[:, :, ::16, ::16] for batch in batches]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    variance = torch.stack([x.var(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    torch.testing.assert_close(model.backbone.bn.running_mean, mean)
    torch.testing.assert_close(model.backbone.bn.running_var, variance)
    assert model.backbone.bn.momentum == pytest.approx(0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
