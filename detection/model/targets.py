"""What anchors and regions are to learn: matching to objects, and sampling a mini-batch.

Shapes: B boxes, G objects, S samples.  Everything has a size known before the values are, so no
step waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Target


@dataclass(frozen=True)
class Match:
    """``overlap``: [B], IoU with the object that each box overlaps most; 0 where there is none.

    ``gt_boxes``: [B, 4] and ``gt_labels``: [B], box and class of that object.
    ``best``: bool [B], the boxes that overlap some object more than any other box does.
    ``ignored``: bool [B], boxes that lie in an ignored object and are no example of anything.
    """

    overlap: Tensor
    gt_boxes: Tensor
    gt_labels: Tensor
    best: Tensor
    ignored: Tensor


def match(
    boxes: Tensor, target: Target, *, ignore_coverage: float, usable: Tensor | None = None
) -> Match:
    """Matches ``boxes`` [B, 4] to the objects of one image.

    ``ignore_coverage``: the part of a box, above 0, that must lie in an ignored object for the box
    to be ignored too; with a value above 1 ignored objects just do not exist.
    ``usable``: bool [B], boxes that may be matched at all (RPN: those inside the image).
    """
    if len(target.labels) == 0:
        nothing = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
        labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Match(boxes.new_zeros(len(boxes)), boxes, labels, nothing, nothing)
    overlaps = box_ops.iou(boxes, target.boxes)  # [B, G]
    overlaps = overlaps.masked_fill(target.ignored, 0)
    if usable is not None:
        overlaps = overlaps.masked_fill(~usable[:, None], 0)
    overlap, index = overlaps.max(dim=1)
    # The paper's condition (i): an anchor *with* the highest IoU, so all of several equal ones.
    highest = overlaps.amax(dim=0)
    best = ((overlaps == highest) & (highest > 0)).any(dim=1)
    in_ignored = box_ops.coverage(boxes, target.boxes).masked_fill(~target.ignored, 0)
    return Match(
        overlap=overlap,
        gt_boxes=target.boxes[index],
        gt_labels=target.labels[index],
        best=best,
        ignored=(in_ignored >= ignore_coverage).any(dim=1),
    )


@dataclass(frozen=True)
class Sample:
    """``index``: int64 [S], which boxes were drawn, positives first.

    ``positive``: bool [S].  ``valid``: bool [S]; False where the image had too few boxes to draw.
    """

    index: Tensor
    positive: Tensor
    valid: Tensor

    def sum(self, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the valid samples."""
        return (values * self.valid).sum()

    def mean(self, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the valid samples divided by their number."""
        return self.sum(values) / self.valid.sum().clamp(min=1)


def sample(positive: Tensor, negative: Tensor, *, size: int, positive_fraction: float) -> Sample:
    """Draws ``size`` boxes at random, at most ``positive_fraction`` of ``size`` positive.

    ``positive``, ``negative``: bool [B].  Negatives fill the place of missing positives.
    """
    # Of the size that was asked for, as everywhere since py-faster-rcnn: where boxes are few, the
    # positives among them are not to become fewer still.
    most_positives = min(round(size * positive_fraction), len(positive))
    size = min(size, len(positive))
    chance = torch.rand(len(positive), device=positive.device)
    drawn = chance.masked_fill(~positive, -1).topk(most_positives)
    order = chance.masked_fill(~negative | positive, -1)
    # Drawn positives come before every negative; a place that no positive took keeps its own.
    first = torch.where(drawn.values >= 0, 2.0, order[drawn.indices])
    order = order.scatter(0, drawn.indices, first)
    value, index = order.topk(size)
    return Sample(index=index, positive=value >= 2, valid=value >= 0)
