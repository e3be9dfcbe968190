"""What anchors and regions are to learn: matching to objects, subsampling a mini-batch, targets.

Anchors: Ren et al. 2015, sections 3.1.2-3.1.3.  Regions: Girshick 2015, section 2.3.

Shapes: B boxes, G objects, S sampled boxes.  Every size is known before the values are, so no step
waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.model.anchors import UNIT_WEIGHTS
from detection.model.subsample import Subsample, subsample
from detection.structures import Target

# What a target's random numbers are drawn for.
OF_ANCHORS, OF_REGIONS = 0, 1


@dataclass(frozen=True)
class Match:
    """``overlap``: [B], IoU with the object that each box overlaps most; 0 where there is none.

    ``gt_index``: int64 [B], the number of that object; ``gt_boxes``: [B, 4] and ``gt_labels``: [B],
    its box and class.
    ``best``: bool [B], the boxes that overlap some object more than any other box does.
    ``ignored``: bool [B], boxes that lie in an ignored object and are no example of anything.
    """

    overlap: Tensor
    gt_index: Tensor
    gt_boxes: Tensor
    gt_labels: Tensor
    best: Tensor
    ignored: Tensor


def match_to_objects(
    boxes: Tensor, target: Target, *, ignore_coverage: float, usable: Tensor | None = None
) -> Match:
    """Matches ``boxes`` [B, 4] to the objects of one image.

    ``ignore_coverage``: the fraction of a box, above 0, that must lie in an ignored object for the
    box to be ignored too.  Above 1, ignored objects are treated as if they did not exist.
    ``usable``: bool [B], boxes that may be matched at all (RPN: those inside the image).
    """
    if len(target.labels) == 0:
        nothing = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
        labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Match(boxes.new_zeros(len(boxes)), labels, boxes, labels, nothing, nothing)
    overlaps = box_ops.iou(boxes, target.boxes)  # [B, G]
    overlaps = overlaps.masked_fill(target.ignored, 0)
    if usable is not None:
        overlaps = overlaps.masked_fill(~usable[:, None], 0)
    overlap, index = overlaps.max(dim=1)
    # Condition (i): an anchor *with* the highest IoU, so all anchors that have it.
    highest = overlaps.amax(dim=0)
    best = ((overlaps == highest) & (highest > 0)).any(dim=1)
    in_ignored = box_ops.coverage(boxes, target.boxes).masked_fill(~target.ignored, 0)
    return Match(
        overlap=overlap,
        gt_index=index,
        gt_boxes=target.boxes[index],
        gt_labels=target.labels[index],
        best=best,
        ignored=(in_ignored >= ignore_coverage).any(dim=1),
    )


@dataclass(frozen=True)
class AnchorLabels:
    """Which of B anchors are examples, before any are sampled.

    ``positive``, ``negative``, ``usable``: bool [B].  An anchor that is usable and neither of the
    first two lies between the thresholds, or in an ignored object (``match.ignored``).
    """

    match: Match
    positive: Tensor
    negative: Tensor
    usable: Tensor


@dataclass(frozen=True)
class AnchorTargets:
    """What the S sampled anchors of one image are to learn.

    ``sampled``: which they are, and which of them are positive.
    ``deltas``: [S, 4], zeros for negatives.
    """

    sampled: Subsample
    deltas: Tensor


@dataclass(frozen=True, kw_only=True)
class AnchorSampling:
    """Which anchors an RPN mini-batch is made of (Ren et al. 2015, section 3.1.3).

    An anchor is positive with an IoU of ``positive_iou`` or more, or with the highest one of some
    object; negative below ``negative_iou``.  ``per_image`` are sampled, at most
    ``positive_fraction`` positive.  ``cross_boundary``: whether anchors that cross the edge of the
    image take part (the paper drops them in training).
    ``ignore_coverage``: see :func:`match_to_objects`.
    ``divide_by``: "sampled": an image's losses are divided by the number of its sampled anchors.
    "per_image": by ``per_image``, even where fewer could be sampled (detectron2).
    """

    per_image: int
    positive_fraction: float
    positive_iou: float
    negative_iou: float
    cross_boundary: bool
    ignore_coverage: float
    divide_by: Literal["sampled", "per_image"]

    def __post_init__(self) -> None:
        if self.divide_by not in ("sampled", "per_image"):
            raise ValueError(
                f"rpn.sampling.divide_by must be sampled or per_image, got {self.divide_by!r}"
            )

    @torch.no_grad()
    def labels(self, anchors: Tensor, target: Target, size: tuple[int, int]) -> AnchorLabels:
        """Of ``anchors`` [B, 4] of one image of ``size`` = (height, width)."""
        usable = _inside(anchors, size) | self.cross_boundary
        match = match_to_objects(
            anchors, target, ignore_coverage=self.ignore_coverage, usable=usable
        )
        positive = (match.overlap >= self.positive_iou) | match.best
        # ~positive protects condition (i): an object's best anchor is positive at any IoU.
        negative = (match.overlap < self.negative_iou) & ~positive & ~match.ignored & usable
        return AnchorLabels(match, positive, negative, usable)

    @torch.no_grad()
    def targets(self, anchors: Tensor, target: Target, size: tuple[int, int]) -> AnchorTargets:
        """Samples ``anchors`` [B, 4] of one image of ``size`` = (height, width)."""
        labels = self.labels(anchors, target, size)
        sampled = subsample(
            labels.positive,
            labels.negative,
            size=self.per_image,
            positive_fraction=self.positive_fraction,
            generator=target.generator(OF_ANCHORS),
        )
        gt_boxes = labels.match.gt_boxes[sampled.index]
        deltas = box_ops.encode(gt_boxes, anchors[sampled.index], UNIT_WEIGHTS)
        # A negative has no object: its deltas are of any box, and may not be finite.
        return AnchorTargets(sampled, torch.where(sampled.positive[:, None], deltas, 0.0))

    def mean(self, sampled: Subsample, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the sampled anchors, divided as ``divide_by`` says."""
        if self.divide_by == "per_image":
            return sampled.sum(values) / self.per_image
        return sampled.mean(values)


def _inside(anchors: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [B]: anchors that do not cross the edge of the image."""
    height, width = size
    x1, y1, x2, y2 = anchors.unbind(dim=1)
    return (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)


@dataclass(frozen=True)
class RegionTargets:
    """What the S sampled regions of one image are to learn.

    ``boxes``: [S, 4].  ``labels``: int64 [S], 0 for background.
    ``deltas``: [S, 4], zeros for background.  ``sampled``: which of them are there at all.
    """

    boxes: Tensor
    labels: Tensor
    deltas: Tensor
    sampled: Subsample


@dataclass(frozen=True, kw_only=True)
class RegionSampling:
    """Which regions a Fast R-CNN mini-batch is made of (Girshick 2015, section 2.3).

    ``per_image`` are sampled, at most ``foreground_fraction`` with an IoU of ``foreground_iou`` or
    more; background has an IoU in [``background_iou[0]``, ``background_iou[1]``).
    ``ignore_coverage``: see :func:`match_to_objects`.
    ``divide_by``: "image": the losses are means over the sampled regions of each image, and then
    over the images.  "batch": means over all sampled regions of the batch (detectron2).
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

    @torch.no_grad()
    def targets(
        self, proposals: Tensor, target: Target, box_weights: tuple[float, float, float, float]
    ) -> RegionTargets:
        """Samples regions of one image from its proposals [P, 4] and the ground-truth boxes.

        ``box_weights``: see :class:`detection.model.roi_head.RoIHead`.
        """
        # The objects are regions too: the first proposals of a training hit none of them.
        candidates = torch.cat((proposals, target.boxes))
        match = match_to_objects(candidates, target, ignore_coverage=self.ignore_coverage)
        low, high = self.background_iou
        foreground = match.overlap >= self.foreground_iou
        background = (match.overlap >= low) & (match.overlap < high) & ~match.ignored
        # The box of an ignored object is no region: neither background, whatever
        # ``ignore_coverage`` says, nor foreground where it overlaps another object.
        foreground[len(proposals) :] &= ~target.ignored
        background[len(proposals) :] &= ~target.ignored
        sampled = subsample(
            foreground,
            background,
            size=self.per_image,
            positive_fraction=self.foreground_fraction,
            generator=target.generator(OF_REGIONS),
        )
        boxes = candidates[sampled.index]
        deltas = box_ops.encode(match.gt_boxes[sampled.index], boxes, box_weights)
        return RegionTargets(
            boxes=boxes,
            labels=torch.where(sampled.positive, match.gt_labels[sampled.index], 0),
            deltas=torch.where(sampled.positive[:, None], deltas, 0.0),
            sampled=sampled,
        )
