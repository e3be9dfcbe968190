"""The classifier of pre-training: all stages, average pooling, fc layer (He et al., table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pixels(Protocol):
    """See `detection.model.pixels`."""

    def normalise(self, pixels: Tensor) -> Tensor: ...


class Network(Protocol):
    """ResNet, VGG16, CifarResNet: pixels [N, 3, H, W] -> [N, region_channels]."""

    region_channels: int

    def __call__(self, pixels: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ClassificationLosses:
    """Scalars.  ``error``: the fraction of the mini-batch that is classified wrongly."""

    cross_entropy: Tensor
    error: Tensor

    def total(self) -> Tensor:
        return self.cross_entropy

    def detached(self) -> dict[str, Tensor]:
        """The values for the log, detached from the graph, on their device."""
        loss = self.cross_entropy.detach()
        return {"total": loss, "error": self.error}


class Classifier(nn.Module):
    """A backbone and the fc layer.

    ``backbone``: with ``norm="trained"`` and ``bin_step=1``: a classifier strides in conv5_1.
    ``num_classes``: None: without the fc layer; the output is the averaged conv5 features.
    The fc weights are initialised as in reference 13 of the paper, biases with zero.
    """

    def __init__(self, *, pixels: Pixels, backbone: Network, num_classes: int | None) -> None:
        super().__init__()
        self.pixels = pixels
        self.backbone = backbone
        self.fc = nn.Identity() if num_classes is None else _fc(backbone, num_classes)
        self.to(memory_format=torch.channels_last)

    @property
    def num_classes(self) -> int:
        """Raises ValueError if there is no fc layer."""
        if not isinstance(self.fc, nn.Linear):
            raise ValueError(
                "this backbone was loaded without its fc layer, so it cannot classify: load a "
                "checkpoint of a whole classifier"
            )
        return self.fc.out_features

    def forward(self, images: Tensor, targets: Tensor) -> ClassificationLosses:
        """The losses of one mini-batch, for training only.

        ``images``: uint8 [N, H, W, 3], BGR.  ``targets``: int64 [N], 0 ... num_classes - 1.
        """
        logits = self.logits(images).float()
        wrong = logits.detach().argmax(dim=1) != targets
        return ClassificationLosses(F.cross_entropy(logits, targets), wrong.float().mean())

    def logits(self, images: Tensor) -> Tensor:
        """uint8 images [N, H, W, 3], BGR, of any size -> [N, num_classes].

        The fc layer and the average pooling can be exchanged: therefore, on a whole image, this is
        the fully convolutional form, the average of the class scores at all positions.
        """
        return self.fc(self.backbone(self.pixels.normalise(images)))


def _fc(backbone: Network, num_classes: int) -> nn.Linear:
    layer = nn.Linear(backbone.region_channels, num_classes)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
