"""Box voting (Gidaris & Komodakis 2015, section 5; He et al. 2015, appendix B)."""

from __future__ import annotations

from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Detections


def vote(kept: Detections, candidates: Detections, iou_threshold: float) -> Detections:
    """Moves every kept box to where its neighbours say that the object is; scores stay.

    ``kept``: what NMS left over of ``candidates``, both of one image.  A box becomes the mean,
    weighted by score, of all candidates of its class that overlap it with an IoU of at least
    ``iou_threshold`` in (0, 1]: itself, and those that NMS took away on its behalf.
    """
    weights = _neighbours(kept, candidates, iou_threshold) * candidates.scores  # [K, B]
    total = weights.sum(dim=1, keepdim=True)
    # A box without area overlaps nothing, itself included, and stays where it is.
    voted = (weights @ candidates.boxes / total).where(total > 0, kept.boxes)
    return Detections(voted, kept.scores, kept.labels)


def _neighbours(kept: Detections, candidates: Detections, iou_threshold: float) -> Tensor:
    """bool [K, B]: which candidates vote on which kept box."""
    same_class = kept.labels[:, None] == candidates.labels
    return same_class & (box_ops.iou(kept.boxes, candidates.boxes) >= iou_threshold)
