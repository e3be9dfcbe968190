"""ResNet-18/34/50/101/152 (He et al. 2015, table 1), in shared and per-region layers.

Also the plain networks of section 3.3: the same layers without shortcuts.

conv1 ... conv4_x (stride 16) are computed once per image and shared by the RPN and the Fast R-CNN
head; conv5_x runs on the features pooled for each region (the paper's appendix A).  The names are
the paper's: conv1, conv2 (= conv2_x, behind the 3x3 max pooling) ... conv5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.frozen_bn import ConvBN, Norm

# Table 1: blocks in conv2_x ... conv5_x; from 50 layers on they are bottlenecks.
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
WIDTHS = (64, 128, 256, 512)
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")

# Section 4.1.  A: the identity, with zeros for new channels; B: a projection where the dimensions
# change, else the identity; C: projections everywhere; none: a plain network.
Shortcut = Literal["A", "B", "C", "none"]
SHORTCUTS = ("A", "B", "C", "none")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (figure 5, left); the first one strides."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        stride_in_1x1: bool,
        shortcut: Shortcut,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.conv_a = ConvBN(in_channels, width, 3, stride=stride, padding=1, norm=norm)
        self.conv_b = ConvBN(width, width, 3, padding=1, norm=norm)
        self.shortcut = _shortcut(
            in_channels, width * self.expansion, stride=stride, option=shortcut, norm=norm
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv_a(x), inplace=True)
        y = self.conv_b(y)
        if self.shortcut is not None:
            y = y.add_(self.shortcut(x))
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut (figure 5, right).

    ``stride_in_1x1``: the first 1x1 convolution strides, as in the paper and the MSRA weights;
    otherwise the 3x3, as in torchvision's.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        stride_in_1x1: bool,
        shortcut: Shortcut,
        norm: Norm,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        out_channels = width * self.expansion
        self.conv_a = ConvBN(in_channels, width, 1, stride=first, norm=norm)
        self.conv_b = ConvBN(width, width, 3, stride=second, padding=1, norm=norm)
        self.conv_c = ConvBN(width, out_channels, 1, norm=norm)
        self.shortcut = _shortcut(
            in_channels, out_channels, stride=stride, option=shortcut, norm=norm
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv_a(x), inplace=True)
        y = F.relu(self.conv_b(y), inplace=True)
        y = self.conv_c(y)
        if self.shortcut is not None:
            y = y.add_(self.shortcut(x))
        return F.relu(y, inplace=True)


class PaddedIdentity(nn.Module):
    """Option A: every ``stride``-th row and column, and zeros for the ``extra`` channels."""

    def __init__(self, *, extra: int, stride: int) -> None:
        super().__init__()
        self.extra = extra
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + extra, H / stride, W / stride]."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def _shortcut(
    in_channels: int, out_channels: int, *, stride: int, option: Shortcut, norm: Norm
) -> nn.Module | None:
    if option == "none":
        return None
    same = stride == 1 and in_channels == out_channels
    if option != "C" and same:
        return nn.Identity()
    if option == "A":
        return PaddedIdentity(extra=out_channels - in_channels, stride=stride)
    return ConvBN(in_channels, out_channels, 1, stride=stride, norm=norm)


def residual_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    width: int,
    *,
    blocks: int,
    stride: int,
    stride_in_1x1: bool,
    shortcut: Shortcut,
    norm: Norm,
) -> nn.Sequential:
    """``blocks`` residual blocks, the first of which strides: a column of table 1."""
    if shortcut not in SHORTCUTS:
        raise ValueError(f"no such shortcut option: {shortcut!r}; choose from {list(SHORTCUTS)}")
    out_channels = width * block.expansion
    return nn.Sequential(
        *(
            block(
                in_channels if index == 0 else out_channels,
                width,
                stride=stride if index == 0 else 1,
                stride_in_1x1=stride_in_1x1,
                shortcut=shortcut,
                norm=norm,
            )
            for index in range(blocks)
        )
    )


class ResNet(nn.Module):
    """The five stages of a ResNet, as backbone and per-region layers of a detector.

    ``norm``: "frozen" in a detector, "trained" while a classifier is trained; "trained_extra" adds
    a BN between conv5 and its average, for a detector whose BN learns (He et al. 2020, MoCo, 4.2).
    ``frozen_stages``: names out of conv1 ... conv5 whose weights do not learn.
    ``bin_step``: 1, or 2 if RoI pooling computes only every second row and column of bins.
    conv5_1 of a bottleneck network with ``stride_in_1x1`` strides by 2 in its 1x1 convolutions, so
    it never reads the other bins: to pool a quarter of them and stride by 1 is the same function.
    ``shortcut``: option A, B or C of section 4.1, or none.  Published weights, and checkpoints that
    do not say, have B.
    """

    stride = 16
    region_layers: tuple[str, ...] = ("conv5", "conv5_bn")
    conv2: nn.Sequential
    conv3: nn.Sequential
    conv4: nn.Sequential
    conv5: nn.Sequential

    def __init__(
        self,
        *,
        depth: int,
        stride_in_1x1: bool,
        norm: Norm,
        frozen_stages: Sequence[str],
        bin_step: int,
        shortcut: Shortcut = "B",
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"no ResNet of depth {depth} in the paper: choose from {list(BLOCKS)}")
        block = BasicBlock if depth < 50 else Bottleneck
        if bin_step == 2 and not (block is Bottleneck and stride_in_1x1):
            raise ValueError(
                f"bin_step=2 leaves out bins that conv5_1 of ResNet-{depth} reads: it needs a "
                "bottleneck network with stride_in_1x1=true; set bin_step=1"
            )
        if bin_step not in (1, 2):
            raise ValueError(f"bin_step must be 1 or 2 (conv5_1 strides by 2), got {bin_step}")
        unknown = set(frozen_stages) - set(STAGES)
        if unknown:
            raise ValueError(f"no such stage: {sorted(unknown)}; choose from {list(STAGES)}")

        self.bin_step = bin_step
        self.stride_in_1x1 = stride_in_1x1 if block is Bottleneck else None
        self.conv1 = ConvBN(3, 64, 7, stride=2, padding=3, norm=norm)
        channels, strides = 64, (1, 2, 2, 2 // bin_step)
        for name, blocks, width, stride in zip(
            STAGES[1:], BLOCKS[depth], WIDTHS, strides, strict=True
        ):
            # conv5_1 projects whatever its stride: with bin_step=2 the pooling has done it.
            layers = residual_stage(
                block,
                channels,
                width,
                blocks=blocks,
                stride=stride,
                stride_in_1x1=stride_in_1x1,
                shortcut=shortcut,
                norm=norm,
            )
            self.add_module(name, layers)
            channels = width * block.expansion
        self.feature_channels = WIDTHS[2] * block.expansion
        self.region_channels = channels
        # It brings conv5's features, of any scale, to the one that the new siblings expect.
        self.conv5_bn = nn.BatchNorm2d(channels) if norm == "trained_extra" else nn.Identity()
        for stage in frozen_stages:
            self.get_submodule(stage).requires_grad_(False)

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> conv4 features [N, feature_channels, H/16, W/16]."""
        x = F.relu(self.conv1(pixels), inplace=True)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        return self.conv4(self.conv3(self.conv2(x)))

    def region_features(self, pooled: Tensor) -> Tensor:
        """Pooled features [R, feature_channels, h, w] -> conv5, averaged: [R, region_channels]."""
        return self.region_map(pooled).mean(dim=(2, 3))

    def region_map(self, pooled: Tensor) -> Tensor:
        """[R, feature_channels, h, w] -> conv5 at each position, without the average."""
        return self.conv5_bn(self.conv5(pooled))

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, region_channels]: the globally averaged conv5 of a classifier."""
        step = self.bin_step  # 2: conv5 reads what it would have read itself, as after RoI pooling
        return self.region_features(self.features(pixels)[:, :, ::step, ::step])
