"""Detections, and what was measured of them -> everything that a report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detection.data.dataset import DetectionDataset
from detection.evaluation.bootstrap import BootstrapSettings, Estimates
from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.coco_arrays import Detection, detection_arrays, object_arrays
from detection.evaluation.mistakes import Mistakes, find_mistakes
from detection.evaluation.voc_ap import VocAP
from detection.report.classes import class_reports
from detection.report.comparison import OtherRun, comparison, other_pictures
from detection.report.content import Comparison, Estimate, Report
from detection.report.data_facts import data_facts
from detection.report.diagnosis import Diagnosis, confusion
from detection.report.gallery import gallery
from detection.report.sizes import size_reports
from detection.report.training_curves import training_curves

# Of the curves over all classes.
IOUS = (0.5, 0.75, 0.9)
# More of them nobody reads as a matrix.
MOST_CLASSES = 400


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A test, or a validation: what was detected, and what has been measured of it already.

    ``split``: the name of it, for people.
    ``intervals``, ``mistakes``: of the same detections; None: there are no intervals, and the
    mistakes are yet to be found.
    ``learnt_from``: class -> boxes of the training set.  ``log``: the lines of log.jsonl.
    ``proposal_recall``: the RPN's, by name.  ``others``: runs to compare with, by ``bootstrap``.
    ``title``, ``facts``, ``notes``, ``next_steps``: as in the report.
    """

    title: str
    dataset: DetectionDataset
    split: str
    detections: Sequence[Detection]
    coco: CocoAP
    voc: VocAP
    intervals: Estimates | None = None
    mistakes: Mistakes | None = None
    learnt_from: Mapping[str, int] | None = None
    log: Sequence[Mapping[str, Any]] = ()
    proposal_recall: Mapping[str, float | None] = field(default_factory=dict)
    others: Sequence[OtherRun] = ()
    bootstrap: BootstrapSettings | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    next_steps: Sequence[str] = ()


def measure_report(measured: Measured) -> Report:
    """Raises ValueError for inputs that are not as :mod:`detection.evaluation` says."""
    ground_truth = measured.dataset.to_coco()
    objects = object_arrays(ground_truth)
    mistakes = measured.mistakes or find_mistakes(ground_truth, measured.detections)
    diagnosis = Diagnosis(objects, detection_arrays(measured.detections, objects))
    pictures = list(mistakes.matches.values())
    precision, recall = _at_score(mistakes)
    bins, calibration_error = diagnosis.calibration()
    curves = [diagnosis.mean_curve(iou) for iou in IOUS]
    shown = gallery(measured.dataset, mistakes)
    comparisons, warnings = _comparisons(measured, ground_truth)
    few = len(objects.class_names) <= MOST_CLASSES
    return Report(
        title=measured.title,
        facts=dict(measured.facts),
        numbers=_numbers(measured.coco, measured.voc, measured.intervals),
        score=mistakes.score,
        precision=precision,
        recall=recall,
        classes=class_reports(
            measured.coco, measured.voc, mistakes, diagnosis, measured.learnt_from
        ),
        curves=[curve for curve in curves if curve is not None],
        confusion=confusion(objects, pictures, score=mistakes.score) if few else None,
        errors=diagnosis.errors(),
        calibration=bins,
        calibration_error=calibration_error,
        sizes=size_reports(objects, measured.coco),
        data=data_facts(measured.dataset, measured.split),
        proposal_recall=dict(measured.proposal_recall),
        training=training_curves(measured.log),
        pictures=shown.pictures,
        comparisons=comparisons,
        notes=[*measured.notes, *_none_right(mistakes), *warnings, *shown.notes()],
        next_steps=list(measured.next_steps),
    )


def _numbers(coco: CocoAP, voc: VocAP, intervals: Estimates | None) -> dict[str, Estimate]:
    """COCO's twelve and VOC's two."""
    values = {name: value for name, value in vars(coco).items() if name != "per_class"}
    numbers = {name: Estimate(value=value) for name, value in values.items()}
    for name in ("AP", "AP50", "AP75") if intervals is not None else ():
        of_name = getattr(intervals, name)
        numbers[name] = Estimate(value=values[name], low=of_name.low, high=of_name.high)
    numbers["mAP_11point"] = Estimate(value=voc.mAP_11point)
    numbers["mAP_area"] = Estimate(value=voc.mAP_area)
    return numbers


def _at_score(mistakes: Mistakes) -> tuple[float | None, float | None]:
    """Precision and recall over all classes; None where nothing is detected, or to be found."""
    pictures = mistakes.matches.values()
    found = sum(one.found for one in mistakes.per_class.values())
    objects = sum(one.objects for one in mistakes.per_class.values())
    detected = sum(int(np.sum(p.counted & (p.scores >= mistakes.score))) for p in pictures)
    return found / detected if detected else None, found / objects if objects else None


def _none_right(mistakes: Mistakes) -> list[str]:
    if mistakes.any_right:
        return []
    return [
        "no detection finds an object yet, so there is no score of a best balance: mistakes are "
        f"counted from {mistakes.score:g} on"
    ]


def _comparisons(
    measured: Measured, ground_truth: Mapping[str, Any]
) -> tuple[list[Comparison], list[str]]:
    """With the other runs, and what is wrong with them."""
    comparisons, warnings = [], []
    if measured.bootstrap is None or measured.coco.AP is None:
        return [], []
    for other in measured.others:
        found = comparison(
            ground_truth, measured.detections, measured.coco, other, **measured.bootstrap
        )
        comparisons.append(found)
        if (warning := other_pictures(other, found)) is not None:
            warnings.append(warning)
    return comparisons, warnings
