"""The region proposal network (Ren et al. 2015, section 3.1).

A 3x3 convolution slides over the shared features; two sibling 1x1 convolutions predict, for each
of the k anchors at each position, one objectness logit and four deltas.  (One logit and a sigmoid
is the paper's footnote 3; its two-class softmax is the same function of the difference.)

Shapes: N images, B = h * w * k anchors per image, ordered by row, column, anchor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection import boxes as box_ops
from detection.model.anchors import Anchors
from detection.model.targets import Sample, match, sample
from detection.ops.nms import nms_until
from detection.structures import Proposals, Target

UNIT_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ProposalSelection:
    """The best ``before_nms`` boxes -> NMS at ``nms_iou`` -> the best ``after_nms``.

    ``min_size``: boxes narrower or lower than this many pixels of the resized image are dropped.
    """

    before_nms: int
    nms_iou: float
    after_nms: int
    min_size: float


@dataclass(frozen=True, kw_only=True)
class AnchorSampling:
    """Which anchors an RPN mini-batch is made of (section 3.1.3).

    An anchor is positive with an IoU of ``positive_iou`` or more, or with the highest one of some
    object; negative below ``negative_iou``.  ``per_image`` are drawn, at most
    ``positive_fraction`` positive.  ``cross_boundary``: whether anchors that cross the edge of the
    image take part (the paper drops them in training).
    ``ignore_coverage``: see :func:`detection.model.targets.match`.
    ``divide_by``: "drawn", an image's losses are divided by the number of its drawn anchors; or
    "per_image", by ``per_image`` even where fewer could be drawn (detectron2).
    """

    per_image: int
    positive_fraction: float
    positive_iou: float
    negative_iou: float
    cross_boundary: bool
    ignore_coverage: float
    divide_by: Literal["drawn", "per_image"]

    def __post_init__(self) -> None:
        if self.divide_by not in ("drawn", "per_image"):
            raise ValueError(
                f"rpn.sampling.divide_by must be drawn or per_image, got {self.divide_by!r}"
            )

    def mean(self, drawn: Sample, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the drawn anchors, divided as ``divide_by`` says."""
        if self.divide_by == "per_image":
            return drawn.sum(values) / self.per_image
        return drawn.mean(values)


class RPN(nn.Module):
    """``sigma``: where the smooth L1 loss turns from square to linear, |x| = 1 / sigma^2.

    With an infinite ``sigma`` (``.inf`` in YAML) it is the L1 loss.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hidden_channels: int,
        anchors: Anchors,
        sampling: AnchorSampling,
        training_proposals: ProposalSelection,
        test_proposals: ProposalSelection,
        sigma: float,
        init_std: float,
    ) -> None:
        super().__init__()
        self.anchors = anchors
        self.sampling = sampling
        self.training_proposals = training_proposals
        self.test_proposals = test_proposals
        self.sigma = sigma
        self.conv = nn.Conv2d(in_channels, hidden_channels, 3, padding=1)
        self.objectness = nn.Conv2d(hidden_channels, anchors.per_position, 1)
        self.deltas = nn.Conv2d(hidden_channels, 4 * anchors.per_position, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=init_std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, C, h, w] -> objectness logits [N, B] and deltas [N, B, 4], float32."""
        hidden = F.relu(self.conv(features), inplace=True)
        logits = self.objectness(hidden).permute(0, 2, 3, 1)  # [N, h, w, k]
        deltas = self.deltas(hidden).permute(0, 2, 3, 1)  # [N, h, w, 4k]
        return logits.flatten(1).float(), deltas.reshape(len(deltas), -1, 4).float()

    @torch.no_grad()
    def propose(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        sizes: list[tuple[int, int]],
        selection: ProposalSelection,
    ) -> list[Proposals]:
        """The proposals of each image; ``sizes`` are the (height, width) of the images."""
        best = logits.topk(min(selection.before_nms, logits.shape[1]), dim=1)  # sorted
        return [
            _select(
                box_ops.decode(own[index], anchors[index], UNIT_WEIGHTS), values, size, selection
            )
            for own, index, values, size in zip(
                deltas, best.indices, best.values, sizes, strict=True
            )
        ]

    def losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        sizes: list[tuple[int, int]],
        targets: list[Target],
    ) -> tuple[Tensor, Tensor]:
        """(objectness loss, box loss), means over the images (eq. 1).

        Both are divided by the number of *all* sampled anchors: what N_cls = 256 is in eq. 1, and
        lambda / N_reg in every implementation since py-faster-rcnn (``AnchorSampling.divide_by``).
        """
        per_image = [
            self._image_losses(*image, anchors)
            for image in zip(logits, deltas, sizes, targets, strict=True)
        ]
        objectness, box = (torch.stack(losses).mean() for losses in zip(*per_image, strict=True))
        return objectness, box

    def _image_losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        size: tuple[int, int],
        target: Target,
        anchors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        rule = self.sampling
        with torch.no_grad():
            usable = _inside(anchors, size) | rule.cross_boundary
            found = match(anchors, target, ignore_coverage=rule.ignore_coverage, usable=usable)
            positive = (found.overlap >= rule.positive_iou) | found.best
            # The order protects condition (i): an object's best anchor is positive at any IoU.
            negative = (found.overlap < rule.negative_iou) & ~positive & ~found.ignored & usable
            drawn = sample(
                positive,
                negative,
                size=rule.per_image,
                positive_fraction=rule.positive_fraction,
            )
            wanted = box_ops.encode(found.gt_boxes[drawn.index], anchors[drawn.index], UNIT_WEIGHTS)
            # A drawn negative has no object: its target may be anything, also not finite.
            wanted = torch.where(drawn.positive[:, None], wanted, 0.0)
        objectness = F.binary_cross_entropy_with_logits(
            logits[drawn.index], drawn.positive.float(), reduction="none"
        )
        box = smooth_l1(deltas[drawn.index], wanted, sigma=self.sigma) * drawn.positive
        return rule.mean(drawn, objectness), rule.mean(drawn, box)


def smooth_l1(deltas: Tensor, wanted: Tensor, *, sigma: float) -> Tensor:
    """[S, 4], [S, 4] -> [S]: the robust loss of Fast R-CNN (eq. 3), summed over the four deltas.

    0.5 (sigma x)^2 where |x| < 1 / sigma^2, |x| - 0.5 / sigma^2 beyond; |x| if sigma is infinite.
    """
    return F.smooth_l1_loss(deltas, wanted, beta=1 / sigma**2, reduction="none").sum(dim=1)


def _inside(anchors: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [B]: anchors that do not cross the edge of the image."""
    height, width = size
    x1, y1, x2, y2 = anchors.unbind(dim=1)
    return (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)


def _select(
    boxes: Tensor, logits: Tensor, size: tuple[int, int], selection: ProposalSelection
) -> Proposals:
    """From decoded boxes of one image, best first, to its proposals."""
    boxes = box_ops.clip(boxes, size)
    extent = boxes[:, 2:] - boxes[:, :2]
    # At least a sliver: a box without area overlaps nothing and can be regressed to nothing.
    large = (extent >= max(selection.min_size, 1e-3)).all(dim=1).nonzero()[:, 0]
    boxes, logits = boxes[large], logits[large]
    kept = nms_until(boxes, selection.nms_iou, selection.after_nms)
    return Proposals(boxes=boxes[kept], logits=logits[kept])
