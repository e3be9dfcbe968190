"""A ResNet as it is pre-trained: the network of table 1 with its fc layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detection.model.pixels import PixelFormat
from detection.model.resnet import ResNet
from detection.structures import ImageBatch


class Classifier(nn.Module):
    """uint8 images [N, H, W, 3], BGR -> class logits [N, num_classes].

    ``num_classes=None``: without the last layer; the averaged conv5 features come out.
    ``backbone``: with ``norm="trained"`` and ``bin_step=1``, as a classifier strides in conv5_1.
    """

    def __init__(self, *, pixels: PixelFormat, backbone: ResNet, num_classes: int | None) -> None:
        super().__init__()
        self.pixels = pixels
        self.backbone = backbone
        self.fc = (
            nn.Identity()
            if num_classes is None
            else nn.Linear(backbone.region_channels, num_classes)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        sizes = [(images.shape[1], images.shape[2])] * len(images)
        return self.fc(self.backbone(self.pixels(ImageBatch(images, sizes))))

    def backbone_weights(self) -> dict[str, Tensor]:
        """What initialises the backbone of a detector, where BN is frozen."""
        return {
            name: value
            for name, value in self.backbone.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
