"""Which box a class gets in an image, out of what all views of the image say (appendix C)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.inference.vote import vote
from detection.structures import Detections


@dataclass(frozen=True, kw_only=True)
class BoxChoice:
    """The box with the best score, moved to where its neighbours say that the object is.

    ``candidates``: of each view and class, the best so many boxes take part.
    ``voting_iou``: in (0, 1]; candidates that overlap the best box so much vote on it: see
    :func:`detection.inference.vote.vote`.  None: it stays where it is.
    """

    candidates: int
    voting_iou: float | None

    def __call__(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Of one class in one image: boxes [T, 4], scores [T] -> the box [4] and its score []."""
        candidates = Detections(boxes, scores, torch.ones(len(scores), dtype=torch.int64))
        best = candidates[scores.argmax()[None]]
        if self.voting_iou is not None:
            best = vote(best, candidates, self.voting_iou)
        return best.boxes[0], best.scores[0]
