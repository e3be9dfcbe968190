"""The Fast R-CNN head: its two sibling layers, their losses and predictions.

Girshick 2015, sections 2.2-2.3.  What comes before the siblings (RoI pooling, then conv5 or the fc
layers) is the backbone's: see :mod:`detection.model.faster_rcnn`.

Shapes: R regions, C classes, S sampled regions per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from detection import boxes as box_ops
from detection.model.losses import class_loss, deltas_of_class, smooth_l1
from detection.model.targets import RegionSampling, RegionTargets
from detection.precision import at_least_fp32
from detection.structures import RegionPredictions, Target


@dataclass(frozen=True)
class LearntRegions:
    """The regions that the head learns from, of images that go through the network together.

    ``pooled``: [R, feature_channels, bins, bins], of all of them.  ``targets``: of each image.
    ``context``: global context [N, region_channels] of the images, if the model has it.
    """

    pooled: Tensor
    targets: list[RegionTargets]
    context: Tensor | None


class RoIHead(nn.Module):
    """``pooled_size``: bins per side of the RoI pooling.

    ``pooling``: "roi_pool", the maximum of each bin (Fast R-CNN), or "roi_align", the mean of
    bilinear samples, one per cell, at half-pixel centres (detectron2's ROIAlignV2).
    ``sampling``: which regions are learnt from.
    ``box_weights``: the factors on (dx, dy, dw, dh); Fast R-CNN's normalisation of the targets to
    unit variance, 1 / (0.1, 0.1, 0.2, 0.2).  ``sigma``: as in the RPN.
    ``class_init_std``, ``box_init_std``: standard deviations of the two layers' initial weights.
    """

    class_layers = ("logits", "deltas")  # the two sibling layers

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        pooled_size: int,
        pooling: Literal["roi_pool", "roi_align"],
        sampling: RegionSampling,
        box_weights: Sequence[float],
        sigma: float,
        class_init_std: float,
        box_init_std: float,
    ) -> None:
        super().__init__()
        if pooling not in ("roi_pool", "roi_align"):
            raise ValueError(f"roi_head.pooling must be roi_pool or roi_align, got {pooling!r}")
        x, y, width, height = box_weights
        self.box_weights = (x, y, width, height)
        self.num_classes = num_classes
        self.pooled_size = pooled_size
        self.pooling: Literal["roi_pool", "roi_align"] = pooling
        self.sampling = sampling
        self.sigma = sigma
        self.logits = nn.Linear(in_channels, num_classes + 1)
        self.deltas = nn.Linear(in_channels, 4 * num_classes)
        for layer, std in ((self.logits, class_init_std), (self.deltas, box_init_std)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, region_features: Tensor) -> tuple[Tensor, Tensor]:
        """[R, in_channels] -> class logits [R, C + 1] and deltas [R, C, 4], float32."""
        deltas = self.deltas(region_features)
        logits = self.logits(region_features)
        return at_least_fp32(logits), at_least_fp32(deltas.reshape(-1, self.num_classes, 4))

    def subsample(self, proposals: Tensor, target: Target) -> RegionTargets:
        """The regions of one image's mini-batch, out of its proposals [P, 4] and its objects."""
        return self.sampling.targets(proposals, target, self.box_weights)

    def losses(
        self, logits: Tensor, deltas: Tensor, targets: list[RegionTargets]
    ) -> tuple[Tensor, Tensor]:
        """(class loss, box loss), means over the images (Girshick 2015, eq. 1).

        The box loss, too, is divided by the number of *all* sampled regions, background included:
        those of its image or of the batch (``RegionSampling.divide_by``).
        """
        counts = [len(target.labels) for target in targets]
        per_image = [
            self._image_losses(*image)
            for image in zip(logits.split(counts), deltas.split(counts), targets, strict=True)
        ]
        classes, box = (torch.stack(sums) for sums in zip(*per_image, strict=True))  # [N]
        sampled = torch.stack([target.sampled.valid.sum() for target in targets])
        if self.sampling.divide_by == "batch":
            total = sampled.sum().clamp(min=1)
            return classes.sum() / total, box.sum() / total
        sampled = sampled.clamp(min=1)
        return (classes / sampled).mean(), (box / sampled).mean()

    def _image_losses(
        self, logits: Tensor, deltas: Tensor, target: RegionTargets
    ) -> tuple[Tensor, Tensor]:
        """(class loss, box loss), sums over the sampled regions of one image."""
        sampled = target.sampled
        classes = class_loss(logits, target.labels)
        class_deltas = deltas_of_class(deltas, target.labels)
        box = smooth_l1(class_deltas, target.deltas, sigma=self.sigma) * sampled.positive
        return sampled.sum(classes), sampled.sum(box)

    def predictions(
        self, logits: Tensor, deltas: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> RegionPredictions:
        """Of the R regions ``boxes`` [R, 4] of one image of ``size`` = (height, width)."""
        regressed = box_ops.decode(deltas, boxes[:, None], self.box_weights)
        return RegionPredictions(
            probabilities=logits.softmax(dim=1), boxes=box_ops.clip(regressed, size)
        )
