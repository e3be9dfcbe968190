"""Iterative box refinement (He et al. 2015, appendix B, "Box refinement").

The regressed boxes are pooled again from the *same* features, which gives new scores and new boxes;
the 300 new predictions join the 300 old ones, and what follows (NMS, voting) sees the union.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detection.inference.steps import RegionClassifier
from detection.structures import RegionPredictions


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Classifies the regressed boxes again, and adds what it finds.

    ``passes``: how often boxes are pooled again: 1 in the paper, 0 for no refinement.
    ``regions``: which of a region's C class-wise boxes are pooled again.  "best_class": the box of
    its most probable object class; a pass costs one head pass.  "every_class": all of them, each
    for its own class; a pass costs C head passes.
    ``minimum_score``: a region whose most probable object class is less probable than this is not
    pooled again.  0 in the paper: all are.  Most regions are background, so more saves time.
    """

    passes: int
    regions: Literal["best_class", "every_class"]
    minimum_score: float

    def __post_init__(self) -> None:
        if self.passes < 0:
            raise ValueError(f"refinement.passes must be 0 or more, got {self.passes}")
        if self.regions not in ("best_class", "every_class"):
            raise ValueError(
                f"refinement.regions must be best_class or every_class, got {self.regions!r}"
            )
        if not 0 <= self.minimum_score <= 1:
            raise ValueError(
                f"refinement.minimum_score must lie in [0, 1], got {self.minimum_score}"
            )

    def __call__(
        self, predictions: list[RegionPredictions], classify: RegionClassifier
    ) -> list[RegionPredictions]:
        """For each image the union of its R ``predictions`` and up to R more for each pass."""
        union, latest = predictions, predictions
        for _ in range(self.passes):
            latest = self._pooled_again(latest, classify)
            union = [_join(*pair) for pair in zip(union, latest, strict=True)]
        return union

    def _pooled_again(
        self, predictions: list[RegionPredictions], classify: RegionClassifier
    ) -> list[RegionPredictions]:
        if self.minimum_score > 0:
            predictions = [_probable(image, self.minimum_score) for image in predictions]
        if self.regions == "best_class":
            return classify([best_boxes(image) for image in predictions])
        found = classify([image.boxes.flatten(0, 1) for image in predictions])
        return [_each_of_its_class(image) for image in found]


def best_boxes(predictions: RegionPredictions) -> Tensor:
    """[R, 4]: of each region the box of its most probable object class."""
    best = predictions.probabilities[:, 1:].argmax(dim=1)
    return predictions.boxes[torch.arange(len(best), device=best.device), best]


def _probable(predictions: RegionPredictions, minimum: float) -> RegionPredictions:
    """The regions whose most probable object class is at least so probable."""
    chosen = predictions.probabilities[:, 1:].amax(dim=1) >= minimum
    return RegionPredictions(predictions.probabilities[chosen], predictions.boxes[chosen])


def _each_of_its_class(predictions: RegionPredictions) -> RegionPredictions:
    """R * C regions, the c-th of every C being a box of class c -> what each says of its class.

    The background of a region is the mean over its C boxes; nothing after this reads it.
    """
    num_classes = predictions.boxes.shape[1]
    probabilities = predictions.probabilities.unflatten(0, (-1, num_classes))  # [R, C, C + 1]
    boxes = predictions.boxes.unflatten(0, (-1, num_classes))  # [R, C, C, 4]
    objects = probabilities[:, :, 1:].diagonal(dim1=1, dim2=2)  # [R, C]
    background = probabilities[:, :, 0].mean(dim=1, keepdim=True)
    return RegionPredictions(
        probabilities=torch.cat((background, objects), dim=1),
        boxes=boxes.diagonal(dim1=1, dim2=2).movedim(-1, 1),  # [R, 4, C] -> [R, C, 4]
    )


def _join(a: RegionPredictions, b: RegionPredictions) -> RegionPredictions:
    return RegionPredictions(
        probabilities=torch.cat((a.probabilities, b.probabilities)),
        boxes=torch.cat((a.boxes, b.boxes)),
    )
