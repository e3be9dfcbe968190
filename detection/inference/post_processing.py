"""From region predictions to detections: threshold, class-wise NMS, the best few, voting.

Girshick 2015, section 3.2 (NMS for each class); voting: He et al. 2015, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from detection.inference.vote import vote
from detection.ops.nms import class_wise_nms
from detection.structures import Detections, RegionPredictions


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Score threshold, class-wise NMS, the best few, box voting.

    ``score_threshold``: a detection has a higher score than this; or one number for each class.
    ``nms_iou``: detections of one class that overlap more are duplicates (0.3 in the paper).
    ``voting_iou``: those that overlap at least so much vote on the box (0.5); None: no voting.
    ``per_image``: at most so many detections are kept, the best ones.
    """

    score_threshold: float | Sequence[float]
    nms_iou: float
    voting_iou: float | None
    per_image: int

    def __post_init__(self) -> None:
        if self.voting_iou is not None and not 0 < self.voting_iou <= 1:
            raise ValueError(f"voting_iou must lie in (0, 1] or be null, got {self.voting_iou}")

    def __call__(self, predictions: RegionPredictions) -> Detections:
        """The detections of one image, best first, in the pixels of ``predictions``."""
        return self.best(self.candidates(predictions))

    def candidates(self, predictions: RegionPredictions) -> Detections:
        """Every box whose score passes the threshold, before NMS and in no order.

        Raises ValueError if there are thresholds of another number of classes.
        """
        scores = predictions.probabilities[:, 1:]  # [R, C], without background
        threshold: float | torch.Tensor
        if isinstance(self.score_threshold, Sequence):
            if len(self.score_threshold) != scores.shape[1]:
                raise ValueError(
                    f"score_threshold has {len(self.score_threshold)} numbers, there are "
                    f"{scores.shape[1]} classes"
                )
            threshold = scores.new_tensor(list(self.score_threshold))
        else:
            threshold = self.score_threshold
        # Everything after the threshold works on the few that pass it.
        region, label = (scores > threshold).nonzero(as_tuple=True)
        return Detections(predictions.boxes[region, label], scores[region, label], label + 1)

    def best(self, candidates: Detections) -> Detections:
        """Those that are left after NMS, the best few, voted on; best first."""
        kept = class_wise_nms(candidates.boxes, candidates.scores, candidates.labels, self.nms_iou)
        # Voting moves boxes and no score: the best are the same before it.
        best = candidates[kept[: self.per_image]]
        return best if self.voting_iou is None else vote(best, candidates, self.voting_iou)
