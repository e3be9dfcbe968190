"""What hotcoco says of detections: precision over recall, TIDE's errors, calibration, confusion.

Its TIDE gives the numbers of tidecv (Bolya et al. 2020).  Difficult objects, which it does not
know, have an infinite area there, as in COCO's AP; its confusion matrix would count them, so they
are taken out of that, with crowds and the detections on either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import hotcoco
import numpy as np
from numpy.typing import NDArray

from detection.evaluation.coco_ap import ALL, IOU50, coco_datasets
from detection.evaluation.coco_arrays import DetectionArrays, Objects
from detection.evaluation.picture_matches import FOUND_IOU, TOUCHED_IOU, PictureMatches
from detection.report.content import CalibrationBin, Confusion, Curve, ErrorType

RECALL_LEVELS = np.linspace(0, 1, 101)
# Of the precisions of a curve: nobody sees more, and pages stay small.
DIGITS = 5
BINS = 10
_ERRORS = {
    "class": "Cls", "place": "Loc", "both": "Both", "duplicate": "Dupe", "background": "Bkg",
    "missed": "Miss",
}  # fmt: skip


class Diagnosis:
    """Of one set of detections.  Classes are numbers of ``objects``."""

    def __init__(self, objects: Objects, detections: DetectionArrays) -> None:
        self._classes = len(objects.class_names)
        self._with_objects = np.array(objects.count()) > 0
        self._detected = np.bincount(detections.classes, minlength=self._classes) > 0
        # Logits are no probabilities: nothing can be said of how well they are calibrated.
        scores = detections.scores
        self._are_shares = bool(len(scores) and scores.min() >= 0 and scores.max() <= 1)
        self._evaluation = _evaluation(objects, detections, sizes=False)
        self._evaluation.evaluate()
        self._evaluation.accumulate()
        found = self._evaluation.eval
        assert found is not None
        self._precision = found["precision"][:, :, :, ALL, -1]  # [10 IoUs, 101, C]
        self._scores = found["scores"][:, :, :, ALL, -1]
        self._recall = found["recall"][:, :, ALL, -1]  # [10, C]

    def class_ap(self, label: int, iou: float) -> float | None:
        """AP at one IoU of 0.5, 0.55 ... 0.95; None of a class without objects."""
        if not self._with_objects[label]:
            return None
        return float(self._precision[_position(iou), :, label].mean())

    def class_curve(self, label: int, iou: float) -> Curve | None:
        """None of a class without objects."""
        if not self._with_objects[label]:
            return None
        position = _position(iou)
        reached = (self._recall[position, label] >= RECALL_LEVELS) & self._detected[label]
        scores = self._scores[position, :, label].tolist()
        return Curve(
            iou=iou,
            recall=_rounded(RECALL_LEVELS),
            precision=_rounded(self._precision[position, :, label]),
            score=[
                round(score, DIGITS) if is_reached else None
                for score, is_reached in zip(scores, reached.tolist(), strict=True)
            ],
        )

    def mean_curve(self, iou: float) -> Curve | None:
        """Over the classes that have objects, as in AP; None if there are none."""
        if not self._with_objects.any():
            return None
        precision = self._precision[_position(iou)][:, self._with_objects].mean(axis=1)
        return Curve(
            iou=iou,
            recall=_rounded(RECALL_LEVELS),
            precision=_rounded(precision),
            score=[None for _ in RECALL_LEVELS],
        )

    def errors(self) -> list[ErrorType]:
        """TIDE's six, of detections of all scores; the most costly first."""
        found = self._evaluation.tide_errors(pos_thr=FOUND_IOU, bg_thr=TOUCHED_IOU)
        counts, lost = found["counts"], found["delta_ap"]
        errors = [
            ErrorType(name=ours, number=int(counts[theirs]), AP50_lost=float(lost[theirs]))  # type: ignore[arg-type]
            for ours, theirs in _ERRORS.items()
        ]
        return sorted(errors, key=lambda error: -error.AP50_lost)

    def calibration(self) -> tuple[list[CalibrationBin], float | None]:
        """Ten bins, and the expected calibration error (Guo et al. 2017); nothing to say: no bins.

        What is right is so at an IoU of 0.5; detections on crowds and difficult objects are aside.
        """
        if not self._are_shares:
            return [], None
        found = self._evaluation.calibration(n_bins=BINS, iou_threshold=FOUND_IOU)
        if not found["num_detections"]:
            return [], None
        filled = {round(BINS * one["bin_lower"]): one for one in found["bins"] if one["count"]}
        bins = [_bin(number, filled.get(number)) for number in range(BINS)]
        return bins, float(found["ece"])


def confusion(
    objects: Objects, pictures: Sequence[PictureMatches], *, score: float
) -> Confusion | None:
    """From ``score`` on: a detection is matched with an object whatever the classes of the two.

    None without classes.
    """
    if not objects.class_names:
        return None
    counted = [p.counted & (p.scores >= score) for p in pictures]
    of_picture = list(zip(pictures, counted, strict=True))
    detections = DetectionArrays(
        images=np.repeat(np.arange(len(pictures)), [int(c.sum()) for c in counted]),
        classes=np.concatenate([p.labels[c] for p, c in of_picture]),
        boxes=np.concatenate([p.boxes[c] for p, c in of_picture]),
        scores=np.concatenate([p.scores[c] for p, c in of_picture]),
    )
    wanted = ~(objects.crowd | objects.difficult)
    columns = ("images", "classes", "boxes", "areas", "crowd", "difficult")
    required = replace(objects, **{name: getattr(objects, name)[wanted] for name in columns})
    evaluation = _evaluation(required, detections, sizes=True)
    most = max(1, *(int(c.sum()) for c in counted), 1)
    matrix = evaluation.confusion_matrix(iou_thr=FOUND_IOU, max_det=most)["matrix"]
    return Confusion(
        names=objects.class_names, counts=matrix.astype(int).tolist(), score=score, iou=FOUND_IOU
    )


def _evaluation(objects: Objects, detections: DetectionArrays, *, sizes: bool) -> hotcoco.COCOeval:
    """``sizes``: whether small, medium and large objects are told apart."""
    wanted, found = coco_datasets(objects, detections)
    evaluation = hotcoco.COCOeval(hotcoco.COCO(wanted), hotcoco.COCO(found), "bbox")
    if not sizes:
        params = evaluation.params
        params.area_rng, params.area_rng_lbl = [params.area_rng[ALL]], [params.area_rng_lbl[ALL]]
        evaluation.params = params
    return evaluation


def _position(iou: float) -> int:
    """On the first axis of COCO's arrays."""
    return IOU50 + round((iou - 0.5) / 0.05)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]


def _bin(number: int, found: dict[str, float] | None) -> CalibrationBin:
    low, high = number / BINS, (number + 1) / BINS
    if found is None:
        return CalibrationBin(low=low, high=high, detections=0, right=0, score=None)
    detections = int(found["count"])
    right = round(found["avg_accuracy"] * detections)
    return CalibrationBin(
        low=low, high=high, detections=detections, right=right, score=found["avg_confidence"]
    )
