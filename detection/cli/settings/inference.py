"""``inference``: the steps from regions to detections (appendix B)."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar, Literal

from detection.cli.settings.kinds import (
    CountOrZero,
    Fraction,
    LengthsAscending,
    Pixels,
    Positive,
    PositiveFraction,
    Regions,
)
from detection.cli.settings.node import Built, OneOf, Rule


class MultiScale(Built):
    target: ClassVar = "detection.inference.multi_scale.MultiScale"
    shorter_sides: LengthsAscending
    longest: Pixels
    region_side: Positive
    maximum: Literal["region_features", "pooled"]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if len(self.shorter_sides) == 1:
            yield Rule("shorter_sides", "must be two lengths or more, or [] for the base scale")


class Refinement(Built):
    target: ClassVar = "detection.inference.refine.Refinement"
    passes: CountOrZero
    regions: Literal["best_class", "every_class"]
    minimum_score: Fraction


class PostProcessing(Built):
    target: ClassVar = "detection.inference.post_processing.PostProcessing"
    score_threshold: Fraction
    nms_iou: Fraction
    voting_iou: PositiveFraction | None
    per_image: Regions


class Inference(Built):
    target: ClassVar = "detection.inference.detector.Inference"
    multi_scale: Annotated[Any, OneOf(MultiScale)]
    flip: bool
    refinement: Annotated[Any, OneOf(Refinement)]
    post_processing: Annotated[Any, OneOf(PostProcessing)]
