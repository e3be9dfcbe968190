"""The pixel format: from uint8 pixels to the input that the pre-trained weights expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        pixels = self.normalise(images.pixels)
        for image, (height, width) in zip(pixels, images.sizes, strict=True):
            image[:, height:] = 0
            image[:, :, width:] = 0
        return pixels

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] without padding -> float32 [N, 3, H, W], channels_last."""
        if self.order == "RGB":
            pixels = pixels.flip(-1)
        pixels = (pixels - self.mean) / self.std
        return pixels.permute(0, 3, 1, 2)  # NHWC in memory is channels_last

    def restore(self, pixels: Tensor) -> Tensor:
        """What the network gets, [N, 3, H, W] -> uint8 [N, H, W, 3], BGR; padding is the mean."""
        levels = pixels.permute(0, 2, 3, 1).float() * self.std + self.mean
        levels = levels.round().clamp(0, 255).to(torch.uint8)
        return levels.flip(-1) if self.order == "RGB" else levels


class PerPixelMean(nn.Module):
    """Subtracts the mean image of the training set (section 3.4; Krizhevsky et al. 2012).

    ``mean``: float32 [side, side, 3], BGR, in units of 0 ... 255; saved with the weights, and zero
    until :meth:`fit`.  Images of another size have the mean colour subtracted.
    """

    mean: Tensor

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(side, side, 3))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Takes the mean of the images in ``batches``, uint8 [N, side, side, 3] each."""
        total, count = torch.zeros(self.mean.shape, dtype=torch.float64), 0
        for images in batches:
            total += images.sum(dim=0, dtype=torch.float64)
            count += len(images)
        self.mean.copy_(total / count)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], channels_last."""
        same = pixels.shape[1:] == self.mean.shape
        mean = self.mean if same else self.mean.mean(dim=(0, 1))
        return (pixels - mean).permute(0, 3, 1, 2)
