"""The ResNets for CIFAR-10 (He et al. 2015, section 4.2) and their plain twins: 6n + 2 layers.

A 3x3 convolution, three stages of n blocks of two 3x3 convolutions each on maps of 32x32, 16x16 and
8x8, global average pooling, and a fully connected layer, which is part of the classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.frozen_bn import ConvBN, Norm
from detection.model.resnet import BasicBlock, Shortcut, residual_stage


class CifarResNet(nn.Module):
    """The layers before the fully connected one.

    ``depth``: 6n + 2; in the paper 20, 32, 44, 56, 110 and 1202.
    ``widths``: the channels of the three stages; in the paper 16, 32 and 64.
    ``shortcut``: A in the paper ("identity shortcuts in all cases"); "none" for a plain network.
    """

    conv2: nn.Sequential
    conv3: nn.Sequential
    conv4: nn.Sequential

    def __init__(
        self, *, depth: int, widths: Sequence[int], shortcut: Shortcut, norm: Norm
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(
                f"a CIFAR network has 6n + 2 layers, got {depth}: choose 20, 32, 44, 56, 110, 1202"
            )
        if len(widths) != 3:
            raise ValueError(f"a CIFAR network has three stages, got widths {list(widths)}")
        channels = widths[0]
        self.conv1 = ConvBN(3, channels, 3, padding=1, norm=norm)
        for index, width in enumerate(widths):
            layers = residual_stage(
                BasicBlock,
                channels,
                width,
                blocks=(depth - 2) // 6,
                stride=1 if index == 0 else 2,
                stride_in_1x1=False,
                shortcut=shortcut,
                norm=norm,
            )
            self.add_module(f"conv{index + 2}", layers)
            channels = width
        self.region_channels = channels

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, H, W] (in the paper 32x32) -> [N, region_channels], averaged over positions."""
        x = F.relu(self.conv1(pixels), inplace=True)
        return self.conv4(self.conv3(self.conv2(x))).mean(dim=(2, 3))
