"""From region predictions to detections: threshold, class-wise NMS, the best few, voting.

Girshick 2015, section 3.2 (NMS for each class); voting: He et al. 2015, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from detection.inference.vote import vote
from detection.ops.nms import class_wise_nms
from detection.structures import Detections, RegionPredictions


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Score threshold, class-wise NMS, the best few, box voting.

    ``score_threshold``: a detection has a higher score than this.
    ``nms_iou``: detections of one class that overlap more are duplicates (0.3 in the paper).
    ``voting_iou``: those that overlap at least so much vote on the box (0.5); None: no voting.
    ``per_image``: at most so many detections are kept, the best ones.
    """

    score_threshold: float
    nms_iou: float
    voting_iou: float | None
    per_image: int

    def __post_init__(self) -> None:
        if self.voting_iou is not None and not 0 < self.voting_iou <= 1:
            raise ValueError(f"voting_iou must lie in (0, 1] or be null, got {self.voting_iou}")

    def __call__(self, predictions: RegionPredictions) -> Detections:
        """The detections of one image, best first, in the pixels of ``predictions``."""
        scores = predictions.probabilities[:, 1:]  # [R, C], without background
        # Everything after the threshold works on the few that pass it.
        region, label = (scores > self.score_threshold).nonzero(as_tuple=True)
        candidates = Detections(predictions.boxes[region, label], scores[region, label], label + 1)
        kept = class_wise_nms(candidates.boxes, candidates.scores, candidates.labels, self.nms_iou)
        # Voting moves boxes and no score: the best are the same before it.
        best = candidates[kept[: self.per_image]]
        return best if self.voting_iou is None else vote(best, candidates, self.voting_iou)
