"""Another run beside this one, on the same pictures: by how much they differ, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detection.evaluation.bootstrap import compare
from detection.evaluation.coco_ap import CocoAP, evaluate_coco
from detection.evaluation.coco_arrays import Detection, GroundTruth
from detection.evaluation.interval import Interval
from detection.report.content import Comparison, Difference, Estimate


@dataclass(frozen=True, kw_only=True)
class OtherRun:
    """``name``: for people.  ``AP``: what it says of itself, where it does."""

    name: str
    detections: Sequence[Detection]
    AP: float | None = None


def comparison(
    ground_truth: GroundTruth,
    detections: Sequence[Detection],
    coco: CocoAP,
    other: OtherRun,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    """``coco``: of ``detections``; the others are as in :mod:`detection.evaluation.bootstrap`.

    Raises ValueError where there is no object to be found.
    """
    of_other = evaluate_coco(ground_truth, other.detections)
    found = compare(
        ground_truth,
        other.detections,
        detections,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    return Comparison(
        name=other.name,
        differences=[
            _difference("AP", coco.AP, of_other.AP, found.AP),
            _difference("AP50", coco.AP50, of_other.AP50, found.AP50),
        ],
        per_class={
            name: (one.AP, of_other.per_class[name].AP) for name, one in coco.per_class.items()
        },
    )


def _difference(
    name: str, this: float | None, other: float | None, interval: Interval
) -> Difference:
    return Difference(
        name=name,
        this=this,
        other=other,
        difference=Estimate(value=interval.difference, low=interval.low, high=interval.high),
        significant=not interval.low <= 0 <= interval.high,
    )


def other_pictures(other: OtherRun, found: Comparison) -> str | None:
    """What to say where the run was measured on something else: its own AP is another then."""
    here = found.differences[0].other
    if other.AP is None or here is None or abs(other.AP - here) < 1e-4:
        return None
    return (
        f"{other.name} says an AP of {100 * other.AP:.1f} of itself, and on these pictures and "
        f"labels it has {100 * here:.1f}: it was tested on others, so the comparison is unfair"
    )
