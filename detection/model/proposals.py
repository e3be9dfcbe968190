"""Proposals: the few boxes, out of all anchors, that Fast R-CNN is given (Ren et al. 2015, 3.3).

The best anchors are regressed, clipped to the image, and thinned out by non-maximum suppression.

Shapes: N images, B anchors per image, P proposals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.model.anchors import UNIT_WEIGHTS
from detection.ops.nms import first_survivors
from detection.structures import Proposals


@dataclass(frozen=True, kw_only=True)
class ProposalSelection:
    """The best ``before_nms`` boxes (None: all) -> NMS at ``nms_iou`` -> the best ``after_nms``.

    ``min_size``: boxes narrower or lower than this many pixels of the resized image are dropped.
    """

    before_nms: int | None
    nms_iou: float
    after_nms: int
    min_size: float

    @torch.no_grad()
    def __call__(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, sizes: list[tuple[int, int]]
    ) -> list[Proposals]:
        """The proposals of each image.

        ``logits``: [N, B].  ``deltas``: [N, B, 4].  ``anchors``: [B, 4].
        ``sizes``: (height, width) of the images.
        """
        count = logits.shape[1]
        best = logits.topk(min(self.before_nms or count, count), dim=1)  # sorted
        index = best.indices
        regressed = box_ops.decode(
            deltas.gather(1, index[..., None].expand(-1, -1, 4)), anchors[index], UNIT_WEIGHTS
        )
        boxes = torch.stack(
            [box_ops.clip(own, size) for own, size in zip(regressed, sizes, strict=True)]
        )
        extent = boxes[..., 2:] - boxes[..., :2]
        # At least a sliver: a box without area overlaps nothing and can be regressed to nothing.
        large = (extent >= max(self.min_size, 1e-3)).all(dim=2)
        kept = first_survivors(boxes, large, self.nms_iou, self.after_nms)
        return [
            Proposals(boxes=own[numbers], logits=values[numbers])
            for own, values, numbers in zip(boxes, best.values, kept, strict=True)
        ]
