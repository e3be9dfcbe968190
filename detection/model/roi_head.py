"""The Fast R-CNN head: which regions it learns from, and its two sibling layers.

Girshick 2015, sections 2.2-2.3.  What comes before the siblings (RoI pooling, then conv5 or the fc
layers) is the backbone's: see :mod:`detection.model.faster_rcnn`.

Shapes: R regions, C classes, S sampled regions per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection import boxes as box_ops
from detection.model.rpn import smooth_l1
from detection.model.targets import Sample, match, sample
from detection.structures import RegionPredictions, Target


@dataclass(frozen=True, kw_only=True)
class RegionSampling:
    """Which regions a Fast R-CNN mini-batch is made of (section 2.3).

    ``per_image`` are drawn, at most ``foreground_fraction`` with an IoU of ``foreground_iou`` or
    more; background has an IoU in [``background_iou[0]``, ``background_iou[1]``).
    ``ignore_coverage``: see :func:`detection.model.targets.match`.
    ``divide_by``: the losses are means over the drawn regions of each "image" and then over the
    images, or at once over all drawn regions of the "batch" (detectron2).
    """

    per_image: int
    foreground_fraction: float
    foreground_iou: float
    background_iou: tuple[float, float]
    ignore_coverage: float
    divide_by: Literal["image", "batch"]

    def __post_init__(self) -> None:
        if self.divide_by not in ("image", "batch"):
            raise ValueError(
                f"roi_head.sampling.divide_by must be image or batch, got {self.divide_by!r}"
            )


@dataclass(frozen=True)
class RegionTargets:
    """What the S regions drawn in one image are to learn.

    ``boxes``: [S, 4].  ``labels``: int64 [S], 0 for background.
    ``deltas``: [S, 4], zeros for background.  ``drawn``: which of them are there at all.
    """

    boxes: Tensor
    labels: Tensor
    deltas: Tensor
    drawn: Sample


class RoIHead(nn.Module):
    """``pooled_size``: bins per side of the RoI pooling.

    ``pooling``: "roi_pool", the maximum of each bin (Fast R-CNN), or "roi_align", the mean of
    bilinear samples, one per cell, at half-pixel centres (detectron2's ROIAlignV2).
    ``box_weights``: the factors on (dx, dy, dw, dh); Fast R-CNN's normalisation of the targets to
    unit variance, 1 / (0.1, 0.1, 0.2, 0.2).  ``sigma``: as in the RPN.
    """

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
        self.pooling = pooling
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
        return self.logits(region_features).float(), deltas.reshape(-1, self.num_classes, 4).float()

    @torch.no_grad()
    def sample(self, proposals: Tensor, target: Target) -> RegionTargets:
        """Draws the regions of one image from its proposals [P, 4] and the ground-truth boxes."""
        rule = self.sampling
        # The objects themselves are regions too: the first proposals hit none of them.
        candidates = torch.cat((proposals, target.boxes))
        found = match(candidates, target, ignore_coverage=rule.ignore_coverage)
        low, high = rule.background_iou
        foreground = found.overlap >= rule.foreground_iou
        background = (found.overlap >= low) & (found.overlap < high) & ~found.ignored
        # Nor is an ignored object itself an example, whatever ``ignore_coverage`` says.
        background[len(proposals) :] &= ~target.ignored
        drawn = sample(
            foreground,
            background,
            size=rule.per_image,
            positive_fraction=rule.foreground_fraction,
        )
        boxes = candidates[drawn.index]
        deltas = box_ops.encode(found.gt_boxes[drawn.index], boxes, self.box_weights)
        return RegionTargets(
            boxes=boxes,
            labels=torch.where(drawn.positive, found.gt_labels[drawn.index], 0),
            deltas=torch.where(drawn.positive[:, None], deltas, 0.0),
            drawn=drawn,
        )

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
        drawn = torch.stack([target.drawn.valid.sum() for target in targets])
        if self.sampling.divide_by == "batch":
            total = drawn.sum().clamp(min=1)
            return classes.sum() / total, box.sum() / total
        drawn = drawn.clamp(min=1)
        return (classes / drawn).mean(), (box / drawn).mean()

    def _image_losses(
        self, logits: Tensor, deltas: Tensor, target: RegionTargets
    ) -> tuple[Tensor, Tensor]:
        """(class loss, box loss), sums over the drawn regions of one image."""
        drawn = target.drawn
        classes = F.cross_entropy(logits, target.labels, reduction="none")
        # Background has no box; class 1 stands in for it and is multiplied by zero.
        own_class = (target.labels - 1).clamp(min=0)[:, None, None].expand(-1, 1, 4)
        own_deltas = deltas.gather(1, own_class)[:, 0]
        box = smooth_l1(own_deltas, target.deltas, sigma=self.sigma) * drawn.positive
        return drawn.sum(classes), drawn.sum(box)

    def predictions(
        self, logits: Tensor, deltas: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> RegionPredictions:
        """Of the R regions ``boxes`` [R, 4] of one image of ``size`` = (height, width)."""
        regressed = box_ops.decode(deltas, boxes[:, None], self.box_weights)
        return RegionPredictions(
            probabilities=logits.softmax(dim=1), boxes=box_ops.clip(regressed, size)
        )
