"""What the report says of each class."""

from __future__ import annotations

from collections.abc import Mapping

from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.mistakes import Mistakes
from detection.evaluation.voc_ap import VocAP
from detection.evaluation.weak_classes import weak_classes
from detection.report.content import ClassReport
from detection.report.diagnosis import Diagnosis

# Of the curves of a class.
IOUS = (0.5, 0.75)


def class_reports(
    coco: CocoAP,
    voc: VocAP,
    mistakes: Mistakes,
    diagnosis: Diagnosis,
    learnt_from: Mapping[str, int] | None,
) -> list[ClassReport]:
    """All of the same detections; the classes in the order of the data set's ids.

    ``learnt_from``: class -> boxes of the training set, where that is known.
    """
    of_class = mistakes.best_of_classes()
    reasons = {
        one.name: one.reasons
        for one in weak_classes(mistakes, coco, len(coco.per_class), boxes=learnt_from)
    }
    reports = []
    for label, (name, of_coco) in enumerate(coco.per_class.items()):
        own = mistakes.per_class[name]
        best = of_class[name]
        curves = [diagnosis.class_curve(label, iou) for iou in IOUS]
        reports.append(
            ClassReport(
                name=name,
                objects=own.objects,
                pictures=own.pictures,
                learnt_from=None if learnt_from is None else learnt_from.get(name, 0),
                AP=of_coco.AP,
                AP50=of_coco.AP50,
                AP75=diagnosis.class_ap(label, 0.75),
                voc_AP=voc.per_class[name].AP_area,
                threshold=None if best is None else best.score,
                precision=None if best is None else best.precision,
                recall=None if best is None else best.recall,
                found=own.found,
                missed=own.missed,
                misplaced=own.misplaced,
                duplicates=own.duplicates,
                both=own.both,
                background=own.background - own.both,
                confused=dict(own.confused.most_common()),
                curves=[curve for curve in curves if curve is not None],
                reasons=reasons.get(name, []),
            )
        )
    return reports
