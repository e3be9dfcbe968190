"""Faster R-CNN on shared conv features (He et al. 2015, appendix A).

``propose`` and ``classify`` are apart because the paper's inference steps call them apart: box
refinement classifies refined boxes on the *same* features, multi-scale testing and ensembles
classify the same boxes on other ones.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from detection.model.pixels import PixelFormat
from detection.model.roi_head import RoIHead
from detection.model.rpn import RPN
from detection.ops.roi_pool import roi_align, roi_pool
from detection.structures import (
    ImageBatch,
    Losses,
    Proposals,
    RegionPredictions,
    Target,
)


class Backbone(Protocol):
    """What a network must offer to carry the detector; see ResNet and VGG16."""

    stride: int
    bin_step: int
    feature_channels: int
    region_channels: int

    def features(self, pixels: Tensor) -> Tensor: ...

    def region_features(self, pooled: Tensor) -> Tensor: ...


class RPNFactory(Protocol):
    def __call__(self, *, in_channels: int) -> RPN: ...


class RoIHeadFactory(Protocol):
    def __call__(self, *, in_channels: int, num_classes: int) -> RoIHead: ...


class FasterRCNN(nn.Module):
    """``rpn`` and ``roi_head`` come without the sizes that follow from backbone and classes.

    ``regions_at_once``: how many regions go through the per-region layers together in inference;
    bounds the memory and keeps conv5's activations in the processor's cache.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        pixels: PixelFormat,
        backbone: Backbone,
        rpn: RPNFactory,
        roi_head: RoIHeadFactory,
        regions_at_once: int,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"a detector needs at least one class, got num_classes={num_classes}")
        self.pixels = pixels
        self.backbone = backbone
        self.rpn = rpn(in_channels=backbone.feature_channels)
        self.roi_head = roi_head(in_channels=backbone.region_channels, num_classes=num_classes)
        self.regions_at_once = regions_at_once
        self.to(memory_format=torch.channels_last)

    def forward(self, images: ImageBatch, targets: list[Target]) -> Losses:
        """The losses of one mini-batch: training only."""
        features = self.features(images)
        logits, deltas = self.rpn(features)
        anchors = self._anchors(features)
        objectness, rpn_box = self.rpn.losses(logits, deltas, anchors, images.sizes, targets)
        proposals = self.rpn.propose(
            logits.detach(), deltas.detach(), anchors, images.sizes, self.rpn.training_proposals
        )
        regions = [self.roi_head.sample(*image) for image in zip(proposals, targets, strict=True)]
        pooled = self._pool(features, [region.boxes for region in regions])
        class_logits, class_deltas = self.roi_head(self.backbone.region_features(pooled))
        head_class, head_box = self.roi_head.losses(class_logits, class_deltas, regions)
        return Losses(
            rpn_objectness=objectness, rpn_box=rpn_box, head_class=head_class, head_box=head_box
        )

    def features(self, images: ImageBatch) -> Tensor:
        """The shared features [N, feature_channels, h, w]."""
        return self.backbone.features(self.pixels(images))

    def propose(self, images: ImageBatch) -> tuple[Tensor, list[Proposals]]:
        """The shared features and, for each image, the RPN's proposals: inference."""
        features = self.features(images)
        logits, deltas = self.rpn(features)
        return features, self.rpn.propose(
            logits, deltas, self._anchors(features), images.sizes, self.rpn.test_proposals
        )

    def classify(
        self, features: Tensor, boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> list[RegionPredictions]:
        """Class probabilities and class-wise boxes of the given regions: inference.

        ``boxes``: [R, 4] for each image.  ``sizes``: (height, width) of the images.
        """
        logits, deltas = [], []
        for image, image_boxes in enumerate(boxes):
            # One chunk even of nothing, so that no image without regions needs a case of its own.
            for chunk in image_boxes.split(self.regions_at_once) or (image_boxes,):
                pooled = self._pool(features[image : image + 1], [chunk])
                chunk_logits, chunk_deltas = self.roi_head(self.backbone.region_features(pooled))
                logits.append(chunk_logits)
                deltas.append(chunk_deltas)
        counts = [len(image_boxes) for image_boxes in boxes]
        return [
            self.roi_head.predictions(*image)
            for image in zip(
                torch.cat(logits).split(counts),
                torch.cat(deltas).split(counts),
                boxes,
                sizes,
                strict=True,
            )
        ]

    def _anchors(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        return self.rpn.anchors((height, width), features.device)

    def _pool(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """[R, feature_channels, bins, bins], the regions of all images one after the other."""
        size, scale = self.roi_head.pooled_size, 1 / self.backbone.stride
        step = self.backbone.bin_step
        if self.roi_head.pooling == "roi_align":
            return roi_align(
                features, boxes, size, scale, sampling_ratio=0, aligned=True, bin_step=step
            )
        return roi_pool(features, boxes, size, scale, bin_step=step)
