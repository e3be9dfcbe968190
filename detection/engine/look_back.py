"""What a look back at a validation, or a test, tells: how sure its AP is, and what goes wrong."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detection.data.dataset import DetectionDataset
from detection.engine.worst_pictures import SHEET, write_worst_pictures
from detection.evaluation.bootstrap import BootstrapSettings, Estimates, estimate
from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.coco_arrays import Detection
from detection.evaluation.mistakes import Mistakes, find_mistakes
from detection.evaluation.weak_classes import WeakClass, weak_classes

log = logging.getLogger("test")

CONFIDENCE = 0.95
SEED = 1
# The bootstrap's time is that of resamples x detections: a few seconds.
MOST_RESAMPLES, FEWEST_RESAMPLES, RESAMPLED_DETECTIONS = 1000, 100, 20_000_000
CLASSES, PICTURES = 3, 5


@dataclass(frozen=True)
class LookBack:
    """``intervals``: of AP.  ``mistakes``: all, at the score of the best F1.

    ``weak``: the classes with the lowest AP.
    ``pictures``: those with the most mistakes, drawn; ``sheet``: all of them on one, if any.
    """

    intervals: Estimates
    mistakes: Mistakes
    weak: list[WeakClass]
    pictures: list[Path]
    sheet: Path | None

    def entries(self, folder: Path) -> dict[str, Any]:
        """For metrics.json; files relative to ``folder``.  ``at_half``: at a score of 0.5."""
        half = self.mistakes.at_score(0.5)
        return {
            "AP": self.intervals.AP.value,
            **{
                f"{name}_interval": [one["low"], one["high"]]
                for name, one in asdict(self.intervals).items()
            },
            "confidence": CONFIDENCE,
            "score": self.mistakes.score,
            "at_half": None if half is None else asdict(half),
            "weak_classes": [asdict(one) for one in self.weak],
            "worst_pictures": [path.relative_to(folder).as_posix() for path in self.pictures],
        }


def look_back(
    dataset: DetectionDataset,
    detections: Sequence[Detection],
    coco: CocoAP,
    folder: Path,
    *,
    boxes: Mapping[str, int] | None = None,
) -> LookBack | None:
    """Looks at ``detections`` in ``dataset``, whose metrics are ``coco``; None without an AP.

    ``boxes``: class -> those that were learnt from.
    Leaves worst/ and worst.jpg in ``folder``, unless the pictures are not there.
    """
    if coco.AP is None:
        return None
    ground_truth = dataset.to_coco()
    intervals = estimate(ground_truth, detections, **bootstrap_settings(len(detections)))
    mistakes = find_mistakes(ground_truth, detections)
    worst = mistakes.worst_pictures(PICTURES)
    pictures: list[Path] = []
    try:
        pictures = write_worst_pictures(
            dataset, detections, worst, folder, min_score=mistakes.score
        )
    except (OSError, ValueError) as error:  # saved detections are measured without the pictures
        log.warning("the worst pictures are not drawn: %s", error)
    return LookBack(
        intervals=intervals,
        mistakes=mistakes,
        weak=weak_classes(mistakes, coco, CLASSES, boxes=boxes),
        pictures=pictures,
        sheet=folder / SHEET if pictures else None,
    )


def bootstrap_settings(num_detections: int) -> BootstrapSettings:
    """How often is drawn, so that it takes a few seconds."""
    most = RESAMPLED_DETECTIONS // max(1, num_detections)
    resamples = min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, most))
    return {"resamples": resamples, "confidence": CONFIDENCE, "seed": SEED}


def boxes_per_class(dataset: DetectionDataset) -> dict[str, int]:
    """Those that can be learnt from."""
    counts: Counter[int] = Counter()
    for example in dataset.examples:
        counts.update(example.labels[~example.crowd & example.has_area].tolist())
    return {name: counts[label] for label, name in enumerate(dataset.class_names, start=1)}
