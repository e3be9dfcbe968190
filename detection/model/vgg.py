"""VGG-16 and VGG-19 (Simonyan & Zisserman 2015): the paper's comparison (figure 3, tables 7, 8).

The thirteen (VGG-19: sixteen) convolutions are shared; without the last pooling their stride is 16.
The two hidden fc layers run for each region, on 7x7 pooled features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = {"conv1": 64, "conv2": 128, "conv3": 256, "conv4": 512, "conv5": 512}


class VGG16(nn.Module):
    """``frozen_stages``: names out of conv1 ... conv5 whose weights do not learn.

    ``pooled_size``: bins per side of the pooled features that fc6 reads (7 in the paper).
    """

    blocks: ClassVar[tuple[int, ...]] = (2, 2, 3, 3, 3)  # convolutions in conv1 ... conv5
    stride = 16
    bin_step = 1
    feature_channels = 512
    region_channels = 4096
    region_layers: tuple[str, ...] = ("fc6", "fc7")

    def __init__(self, *, frozen_stages: Sequence[str], dropout: float, pooled_size: int) -> None:
        super().__init__()
        unknown = set(frozen_stages) - set(WIDTHS)
        if unknown:
            raise ValueError(f"no such stage: {sorted(unknown)}; choose from {list(WIDTHS)}")
        channels = 3
        for (name, width), blocks in zip(WIDTHS.items(), self.blocks, strict=True):
            layers = nn.ModuleList()
            for _ in range(blocks):
                conv = nn.Conv2d(channels, width, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers.append(conv)
                channels = width
            self.add_module(name, layers)
        self.fc6 = nn.Linear(channels * pooled_size**2, self.region_channels)
        self.fc7 = nn.Linear(self.region_channels, self.region_channels)
        self.dropout = dropout
        self.pooled_size = pooled_size
        for stage in frozen_stages:
            self.get_submodule(stage).requires_grad_(False)

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> conv5_3 features [N, 512, H/16, W/16]."""
        x = pixels
        for name in WIDTHS:
            for conv in self.get_submodule(name).children():
                x = F.relu(conv(x), inplace=True)
            if name != "conv5":
                x = F.max_pool2d(x, kernel_size=2, stride=2)
        return x

    def region_features(self, pooled: Tensor) -> Tensor:
        """Pooled features [R, 512, 7, 7] -> fc7 [R, 4096]."""
        # contiguous(): fc6 numbers its inputs channel by channel, as in NCHW.
        x = pooled.contiguous().flatten(start_dim=1)
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x), inplace=True), self.dropout, self.training)
        return x

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 4096]: the classifier, fully convolutional.

        fc6 and fc7 are applied at every position of the last pooling's map, and averaged over the
        positions; an image of 224 x 224 has one.
        """
        x = F.max_pool2d(self.features(pixels), kernel_size=2, stride=2)
        if min(x.shape[2:]) < self.pooled_size:
            raise ValueError(
                f"images of {pixels.shape[3]}x{pixels.shape[2]} are too small for VGG's fc layers: "
                f"the shorter side must be {32 * self.pooled_size} pixels or more"
            )
        size = (self.pooled_size, self.pooled_size)
        weight = self.fc6.weight.unflatten(1, (self.feature_channels, *size))
        x = F.dropout(F.relu(F.conv2d(x, weight, self.fc6.bias)), self.dropout, self.training)
        x = F.relu(F.conv2d(x, self.fc7.weight[:, :, None, None], self.fc7.bias))
        return F.dropout(x, self.dropout, self.training).mean(dim=(2, 3))


class VGG19(VGG16):
    """VGG-16 with four convolutions in each of conv3 ... conv5."""

    blocks = (2, 2, 4, 4, 4)
