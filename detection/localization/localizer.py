"""The localisation network: a classifier's layers and the per-class RPN (He et al. 2015, app. C).

It says where the object of a class is, once a classifier has said which classes a picture may show
(per-class regression, PCR: Sermanet et al. 2014, Simonyan & Zisserman 2015).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from detection import boxes as box_ops
from detection.model.anchors import UNIT_WEIGHTS, Anchors
from detection.model.per_class_rpn import PerClassRPN
from detection.structures import ImageBatch, RPNLosses, Target

# conv5 strides by 2 over conv4.
_CONV5_STRIDE = 2


class Pixels(Protocol):
    """See `detection.model.pixels`."""

    def normalise(self, pixels: Tensor) -> Tensor: ...


class Backbone(Protocol):
    """``detection.model.resnet.ResNet``, with ``bin_step=1``: conv5 strides."""

    stride: int
    bin_step: int
    region_channels: int

    def features(self, pixels: Tensor) -> Tensor: ...

    def region_map(self, pooled: Tensor) -> Tensor: ...


class HeadFactory(Protocol):
    """The per-class RPN without what follows from the backbone and from the data set."""

    def __call__(self, *, in_channels: int, num_classes: int) -> PerClassRPN: ...


class Localizer(nn.Module):
    """``head``: makes the per-class RPN, whose anchors have the stride of conv5, 32 pixels."""

    def __init__(
        self, *, pixels: Pixels, backbone: Backbone, head: HeadFactory, num_classes: int
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.backbone = backbone
        self.head = head(in_channels=backbone.region_channels, num_classes=num_classes)
        if backbone.bin_step != 1:
            raise ValueError(
                f"model.backbone.bin_step={backbone.bin_step} is for RoI pooling: write "
                "model.backbone.bin_step=1"
            )
        stride = _CONV5_STRIDE * backbone.stride
        if self.head.anchors.stride != stride:
            raise ValueError(
                f"model.head.anchors.stride={self.head.anchors.stride}: they stand on conv5, whose "
                f"stride is {stride}: write model.head.anchors.stride={stride}"
            )
        self.to(memory_format=torch.channels_last)

    @property
    def anchors(self) -> Anchors:
        return self.head.anchors

    def forward(self, images: ImageBatch, targets: list[Target]) -> RPNLosses:
        """The losses of a mini-batch, for training only.

        ``images``: crops of one size.  ``targets``: each with objects of one class, one at least;
        where none of them is to be learnt, they are ``ignored``.
        """
        features = self._features(images.pixels)
        anchors = self._anchors(features)
        return self.head.losses(features, anchors, images.sizes, targets)

    def predict(self, images: Tensor, classes: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
        """The best ``most`` boxes T of each class that is asked for, best first.

        ``images``: uint8 [N, H, W, 3], BGR, of any size.  ``classes``: int64 [N, K], 0 ... C - 1.
        Returns the boxes [N, K, T, 4], clipped to the image, and the scores [N, K, T] in [0, 1].
        """
        features = self._features(images)
        logits, deltas = self.head(features, classes)
        best = logits.topk(min(most, logits.shape[2]), dim=2)
        index = best.indices[..., None].expand(*best.indices.shape, 4)
        anchors = self._anchors(features)[best.indices]
        boxes = box_ops.decode(deltas.gather(2, index), anchors, UNIT_WEIGHTS)
        height, width = images.shape[1:3]
        return box_ops.clip(boxes, (height, width)), best.values.sigmoid()

    def _features(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] -> conv5 [N, region_channels, H/32, W/32]."""
        return self.backbone.region_map(self.backbone.features(self.pixels.normalise(images)))

    def _anchors(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        return self.anchors((height, width), features.device)
