"""Faster R-CNN on shared conv features (He et al. 2015, appendix A).

``propose`` and ``classify`` are apart because the paper's inference steps call them apart: box
refinement classifies refined boxes on the *same* features, multi-scale testing and ensembles
classify the same boxes on other ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detection import boxes as box_ops
from detection.model.interfaces import Backbone, Head, HeadFactory, RPNFactory, check_interface
from detection.model.pixels import PixelFormat
from detection.model.region_cache import REGIONS_AT_ONCE, RegionCache, pooled_cells
from detection.model.roi_head import LearntRegions
from detection.ops.roi_pool import roi_align, roi_pool
from detection.structures import (
    HeadLosses,
    ImageBatch,
    Losses,
    Proposals,
    RegionPredictions,
    RPNLosses,
    Target,
)


class FasterRCNN(nn.Module):
    """``rpn`` and ``roi_head`` come without the sizes that follow from backbone and classes.

    ``context``: global context (appendix B): the whole image is one more region, and what conv5
    makes of it is concatenated with every region's feature before the two sibling layers.
    ``regions_at_once``, to be set: how many go through the per-region layers together in inference,
    see :func:`detection.model.region_cache.in_chunks`.
    Raises ValueError if ``backbone`` or the head lacks what :mod:`detection.model.interfaces` asks.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        pixels: PixelFormat,
        backbone: Backbone,
        rpn: RPNFactory,
        roi_head: HeadFactory,
        context: bool,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"a detector needs at least one class, got num_classes={num_classes}")
        check_interface(backbone, Backbone, key="model.backbone")
        self.pixels = pixels
        self.backbone = backbone
        self.rpn = rpn(in_channels=backbone.feature_channels)
        self.has_context = context
        channels = backbone.region_channels * (2 if context else 1)
        self.roi_head = roi_head(in_channels=channels, num_classes=num_classes)
        check_interface(self.roi_head, Head, key="model.roi_head")
        self.regions_at_once = REGIONS_AT_ONCE
        self.to(memory_format=torch.channels_last)

    def forward(self, images: ImageBatch, targets: list[Target]) -> Losses:
        """The losses of one mini-batch: training only."""
        of_rpn, of_head = [], []
        for group, group_targets in self.groups(images, targets):
            features = self.features(group)
            logits, deltas = self.rpn(features)
            anchors = self.anchors(features)
            of_rpn.append(self.rpn.losses(logits, deltas, anchors, group.sizes, group_targets))
            proposals = self.rpn.propose(
                logits.detach(), deltas.detach(), anchors, group.sizes, self.rpn.training_proposals
            )
            boxes = [image.boxes for image in proposals]
            of_head.append(self.learnt_regions(features, group.sizes, boxes, group_targets))
        return Losses(**vars(self.rpn_losses(of_rpn)), **vars(self.head_losses(of_head)))

    def groups(
        self, images: ImageBatch, targets: list[Target]
    ) -> list[tuple[ImageBatch, list[Target]]]:
        """A mini-batch for training in parts without padding: the images of each size.

        An image then gives the same features whatever its neighbours are.  BN that learns needs
        the statistics of the whole mini-batch: it stays one part, padded.
        """
        if any(isinstance(layer, _BatchNorm) for layer in self.backbone.modules()):  # type: ignore[attr-defined]
            return [(images, targets)]
        return [
            (group, [targets[place] for place in places]) for places, group in images.of_one_size()
        ]

    def learnt_regions(
        self,
        features: Tensor,
        sizes: list[tuple[int, int]],
        proposals: list[Tensor],
        targets: list[Target],
    ) -> LearntRegions:
        """The regions that Fast R-CNN learns from, out of ``proposals``: [P, 4] for each image."""
        regions = [
            self.roi_head.subsample(*image) for image in zip(proposals, targets, strict=True)
        ]
        pooled = self.pool(features, [region.boxes for region in regions])
        return LearntRegions(pooled, regions, self.context(features, sizes))

    def rpn_losses(self, parts: Sequence[tuple[Tensor, Tensor]]) -> RPNLosses:
        """The RPN's losses of a mini-batch, out of those of the images of its parts."""
        objectness, box = (torch.cat(losses).mean() for losses in zip(*parts, strict=True))
        return RPNLosses(rpn_objectness=objectness, rpn_box=box)

    def head_losses(self, parts: Sequence[LearntRegions]) -> HeadLosses:
        """Fast R-CNN's losses of a mini-batch, out of the regions of its parts.

        The per-region layers see all of them at once, whatever the sizes of their images.
        """
        targets = [image for part in parts for image in part.targets]
        contexts = [part.context for part in parts if part.context is not None]
        # One part, the usual case, is not copied.
        pooled = parts[0].pooled if len(parts) == 1 else torch.cat([part.pooled for part in parts])
        logits, deltas = self.sibling_layers(
            self.backbone.region_features(pooled),
            [image.boxes for image in targets],
            torch.cat(contexts) if contexts else None,
        )
        head_class, head_box = self.roi_head.losses(logits, deltas, targets)
        return HeadLosses(head_class=head_class, head_box=head_box)

    def propose(self, images: ImageBatch) -> tuple[Tensor, list[Proposals]]:
        """The shared features and, for each image, the RPN's proposals: inference.

        ``images``: of one size (:meth:`ImageBatch.of_one_size`), as for :meth:`classify`.
        """
        features = self.features(images)
        logits, deltas = self.rpn(features)
        return features, self.rpn.propose(
            logits, deltas, self.anchors(features), images.sizes, self.rpn.test_proposals
        )

    def classify(
        self, features: Tensor, boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> list[RegionPredictions]:
        """Class probabilities and class-wise boxes of the given regions: inference.

        ``boxes``: [R, 4] for each image.  ``sizes``: (height, width) of the images.
        """
        return self.classifier(features, sizes)(boxes)

    def classifier(
        self, features: Tensor, sizes: list[tuple[int, int]]
    ) -> Callable[[list[Tensor]], list[RegionPredictions]]:
        """:meth:`classify` on these features, for one set of boxes after another.

        Global context is computed once; on a CPU equal regions are, too (RegionCache).
        """
        context = self.context(features, sizes)
        caches = [self.region_cache(image[None]) for image in features]

        def classify(boxes: list[Tensor]) -> list[RegionPredictions]:
            found = [cache(b) for cache, b in zip(caches, boxes, strict=True)]
            return self.classify_region_features(torch.cat(found), boxes, sizes, context)

        return classify

    def classify_region_features(
        self,
        region_features: Tensor,
        boxes: list[Tensor],
        sizes: list[tuple[int, int]],
        context: Tensor | None,
    ) -> list[RegionPredictions]:
        """:meth:`classify` behind the per-region layers: the two sibling layers and what follows.

        ``region_features``: [R, region_channels], those of ``boxes`` one image after the other.
        """
        logits, deltas = self.sibling_layers(region_features, boxes, context)
        counts = [len(image_boxes) for image_boxes in boxes]
        return [
            self.roi_head.predictions(*image)
            for image in zip(logits.split(counts), deltas.split(counts), boxes, sizes, strict=True)
        ]

    def features(self, images: ImageBatch) -> Tensor:
        """The shared features [N, feature_channels, h, w]."""
        return self.backbone.features(self.pixels(images))

    def anchors(self, features: Tensor) -> Tensor:
        """[B, 4]: the RPN's anchors on features [N, C, h, w]."""
        height, width = features.shape[-2:]
        return self.rpn.anchors((height, width), features.device)

    def pool(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """RoI pooling: [R, feature_channels, bins, bins], the regions of all images in turn."""
        size, scale = self.roi_head.pooled_size, 1 / self.backbone.stride
        step = self.backbone.bin_step
        if self.roi_head.pooling == "roi_align":
            return roi_align(
                features, boxes, size, scale, sampling_ratio=0, aligned=True, bin_step=step
            )
        # RoIPool is Caffe's, which names the last pixel where the edge of a box is here.
        corners = [box_ops.with_last_pixels(image) for image in boxes]
        return roi_pool(features, corners, size, scale, bin_step=step)

    def region_features(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """RoI pooling and the per-region layers: [R, region_channels]."""
        return self.backbone.region_features(self.pool(features, boxes))

    def region_cache(self, features: Tensor) -> RegionCache:
        """Boxes [R, 4] -> their features [R, region_channels], in one image.  Inference.

        ``features``: [1, feature_channels, h, w].
        """
        return RegionCache(
            compute=lambda boxes: self.region_features(features, [boxes]),
            cells=partial(
                pooled_cells,
                pooling=self.roi_head.pooling,
                spatial_scale=1 / self.backbone.stride,
            ),
            regions_at_once=self.regions_at_once,
        )

    def context(self, features: Tensor, sizes: list[tuple[int, int]]) -> Tensor | None:
        """Global context [N, region_channels] of the images; None in a model without."""
        if not self.has_context:
            return None
        return self.region_features(features, whole_images(features, sizes))

    def sibling_layers(
        self, region_features: Tensor, boxes: list[Tensor], context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits and deltas of the regions, each with its own image's context if there is one."""
        if context is not None:
            of_region = [image.expand(len(b), -1) for image, b in zip(context, boxes, strict=True)]
            region_features = torch.cat((region_features, torch.cat(of_region)), dim=1)
        return self.roi_head(region_features)


def whole_images(like: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """For each image the box [1, 4] that covers it, float32 on the device of ``like``."""
    boxes = torch.zeros(len(sizes), 1, 4, device=like.device)
    for box, (height, width) in zip(boxes, sizes, strict=True):
        # Numbers, filled in where the box is: copying a tensor would make the host wait.
        box[:, 2].fill_(width)
        box[:, 3].fill_(height)
    return list(boxes)
