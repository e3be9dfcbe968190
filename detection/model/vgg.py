"""VGG-16 (Simonyan & Zisserman 2015): the paper's comparison backbone (tables 7 and 8).

The thirteen convolutions (stride 16, without the last pooling) are shared; the two hidden fc
layers are the per-region part, on 7x7 pooled features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = {"conv1": (64, 64), "conv2": (128, 128)} | {
    "conv3": (256, 256, 256),
    "conv4": (512, 512, 512),
    "conv5": (512, 512, 512),
}


class VGG16(nn.Module):
    """``frozen_stages``: names out of conv1 ... conv5 whose weights do not learn.

    ``pooled_size``: bins per side of the pooled features that fc6 reads (7 in the paper).
    """

    stride = 16
    bin_step = 1
    feature_channels = 512
    region_channels = 4096
    region_layers = ("fc6", "fc7")

    def __init__(self, *, frozen_stages: Sequence[str], dropout: float, pooled_size: int) -> None:
        super().__init__()
        unknown = set(frozen_stages) - set(WIDTHS)
        if unknown:
            raise ValueError(f"no such stage: {sorted(unknown)}; choose from {list(WIDTHS)}")
        channels = 3
        for name, widths in WIDTHS.items():
            layers = nn.ModuleList()
            for width in widths:
                conv = nn.Conv2d(channels, width, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers.append(conv)
                channels = width
            self.add_module(name, layers)
        self.fc6 = nn.Linear(channels * pooled_size**2, self.region_channels)
        self.fc7 = nn.Linear(self.region_channels, self.region_channels)
        self.dropout = dropout
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
