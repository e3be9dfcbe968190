"""From uint8 pixels to what the network reads; the format belongs to the pre-trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from detection.structures import ImageBatch


class PixelFormat(nn.Module):
    """Normalises a batch on its device: uint8 [N, H, W, 3] -> float32 [N, 3, H, W], channels_last.

    ``order``: the channel order that the weights expect; batches arrive as BGR.
    ``mean``, ``std``: of the three channels *in that order*, in units of 0 ... 255.
    The padding of a batch becomes zeros: what a convolution pads with.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, order: Literal["BGR", "RGB"], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        if order not in ("BGR", "RGB"):
            raise ValueError(f"pixel order must be BGR or RGB, got {order!r}")
        self.order = order
        # Not saved: the checkpoint's configuration says it, once.
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, images: ImageBatch) -> Tensor:
        pixels = images.pixels.flip(-1) if self.order == "RGB" else images.pixels
        pixels = (pixels - self.mean) / self.std
        for image, (height, width) in zip(pixels, images.sizes, strict=True):
            image[height:] = 0
            image[:, width:] = 0
        return pixels.permute(0, 3, 1, 2)  # NHWC in memory is channels_last
