"""VOC's average precision: 11-point (VOC 2007) and area under the curve (VOC 2010 and later).

Everingham et al., *The PASCAL Visual Object Classes (VOC) Challenge*, IJCV 2010, section 4.2, and
VOCevaldet.m of the development kits.  VOC's overlaps of 1-based inclusive boxes, with their "+ 1",
are the plain overlaps of the continuous boxes that arrive here (:func:`detection.boxes.from_voc`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import (
    Detection,
    DetectionArrays,
    GroundTruth,
    Objects,
    detection_arrays,
    object_arrays,
)

# 0, 0.1, ..., 1 as py-faster-rcnn's voc_eval.py has them and, after it, the evaluations in use:
# three of the levels (0.3, 0.6 and 0.7) lie one rounding error above their names, so a recall of
# exactly 0.3 does not reach the level 0.3.  Exact levels would be truer to the definition and
# disagree with published numbers: measured, by 0.1 point for the 480 potted plants of VOC 2007.
RECALL_LEVELS = np.arange(0.0, 1.1, 0.1)

# Of a detection and an object whose overlap is computed at the same time, at about 150 bytes each:
# dense pictures have more of them than memory holds.
PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class VocClassAP:
    """One class.  ``num_objects``: those to be found.  Both APs: None if there are none."""

    num_objects: int
    AP_11point: float | None
    AP_area: float | None


@dataclass(frozen=True)
class VocAP:
    """VOC's two average precisions per class and their means over the classes that have objects.

    All in [0, 1]; None where there are no objects to be found.
    """

    mAP_11point: float | None
    mAP_area: float | None
    per_class: dict[str, VocClassAP]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the means, then per_class: {name: {num_objects, AP_11point, AP_area}}."""
        return asdict(self)


@dataclass(frozen=True)
class Matches:
    """What each of N detections is; with neither flag it is a false positive.

    ``correct``: bool [N], found an object first.  ``ignored``: bool [N], found what need not be
    found.
    """

    correct: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


def evaluate_voc(
    ground_truth: GroundTruth, detections: Sequence[Detection], *, iou_threshold: float = 0.5
) -> VocAP:
    """VOC's numbers for ``detections``.

    Both inputs are as :mod:`detection.evaluation.coco_arrays` says.
    ``iou_threshold``: the least overlap, in (0, 1], at which an object counts as found.  Raises
    ValueError for inputs that are not as described.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in (0, 1], it is {iou_threshold}; VOC's is 0.5")
    objects = object_arrays(ground_truth)
    sorted_detections = _by_score(detection_arrays(detections, objects))
    matches = match_detections(objects, sorted_detections, iou_threshold)

    per_class = {}
    for number, (name, num_objects) in enumerate(
        zip(objects.class_names, objects.count(), strict=True)
    ):
        correct = matches.correct[(sorted_detections.classes == number) & ~matches.ignored]
        per_class[name] = VocClassAP(
            num_objects=num_objects,
            AP_11point=eleven_point_ap(correct, num_objects),
            AP_area=area_ap(correct, num_objects),
        )
    return VocAP(
        mAP_11point=_mean([ap.AP_11point for ap in per_class.values()]),
        mAP_area=_mean([ap.AP_area for ap in per_class.values()]),
        per_class=per_class,
    )


def match_detections(
    objects: Objects, detections: DetectionArrays, iou_threshold: float
) -> Matches:
    """Which detections are correct, when those with higher scores come first in each class.

    A detection belongs to the object of its class and image that it overlaps most (the first, if
    several), provided IoU >= ``iou_threshold``.  The first one makes a find, the next are false
    positives, even where they overlap another object well enough.  What belongs to a difficult
    object or a crowd is ignored, however many there are.

    VOCevaldet.m takes an overlap of exactly the threshold, and so does this; py-faster-rcnn's
    voc_eval.py does not.
    """
    overlap, nearest = _nearest(objects, detections)
    belongs = overlap >= iou_threshold
    # Where a detection has no object, nearest is 0 and the overlap 0, below any threshold.
    optional = np.append(objects.crowd | objects.difficult, False)
    ignored = belongs & optional[nearest]

    candidates = np.flatnonzero(belongs & ~ignored)
    _, first = np.unique(nearest[candidates], return_index=True)
    correct = np.zeros(len(overlap), dtype=np.bool_)
    correct[candidates[first]] = True
    return Matches(correct=correct, ignored=ignored)


def eleven_point_ap(correct: NDArray[np.bool_], num_objects: int) -> float | None:
    """The mean, over the recalls 0, 0.1, ..., 1, of the best precision at that recall or more.

    ``correct``: bool [N], whether each detection of one class is, highest score first.
    ``num_objects``: how many there are to be found; with none there is no AP, but None.
    """
    if num_objects == 0:
        return None
    recall = np.cumsum(correct) / num_objects
    precision = np.append(_best_precision(correct), 0.0)  # 0 at the recalls that are not reached
    return float(precision[np.searchsorted(recall, RECALL_LEVELS)].mean())


def area_ap(correct: NDArray[np.bool_], num_objects: int) -> float | None:
    """The area under precision made monotonous, over recall; arguments as `eleven_point_ap`."""
    if num_objects == 0:
        return None
    # Recall grows at the correct detections alone, by 1 / num_objects.
    return float(_best_precision(correct)[correct].sum() / num_objects)


def _best_precision(correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[N] -> [N]: the highest precision at each detection or at any later one."""
    precision = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    return np.maximum.accumulate(precision[::-1])[::-1]


def _by_score(detections: DetectionArrays) -> DetectionArrays:
    # Stable, so that equal scores stay in the order they came in and the result is reproducible.
    order = np.argsort(-detections.scores, kind="stable")
    return DetectionArrays(
        images=detections.images[order],
        classes=detections.classes[order],
        boxes=detections.boxes[order],
        scores=detections.scores[order],
    )


def _nearest(
    objects: Objects, detections: DetectionArrays
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[N] the highest IoU with an object of the same class and image, [N] which object it is."""
    # Objects sorted by (class, image): those that a detection may match are one slice.
    num_images = len(objects.image_index)
    object_group = objects.classes * num_images + objects.images
    group = detections.classes * num_images + detections.images
    by_group = np.argsort(object_group, kind="stable")
    start = np.searchsorted(object_group[by_group], group, side="left")
    count = np.searchsorted(object_group[by_group], group, side="right") - start

    overlap = np.zeros(len(group))
    nearest = np.zeros(len(group), dtype=np.int64)
    for part in _blocks(count):
        # All pairs of a detection and an object in its slice, a detection's next to each other.
        first_pair = np.cumsum(count[part]) - count[part]
        detection = np.repeat(np.arange(part.start, part.stop), count[part])
        within = np.arange(len(detection)) - np.repeat(first_pair, count[part])
        candidate = by_group[np.repeat(start[part], count[part]) + within]
        pair_iou = _pair_iou(detections.boxes[detection], objects.boxes[candidate])

        np.maximum.at(overlap, detection, pair_iou)
        best = np.flatnonzero(pair_iou == overlap[detection])
        owner, first = np.unique(detection[best], return_index=True)
        nearest[owner] = candidate[best[first]]
    return overlap, nearest


def _blocks(pairs: NDArray[np.int64]) -> Iterator[slice]:
    """Detections in order, so many at once that they have PAIRS_AT_ONCE together, or one.

    ``pairs``: [N], how many objects each may match.
    """
    up_to = np.cumsum(pairs)
    begin = 0
    while begin < len(pairs):
        limit = up_to[begin] - pairs[begin] + PAIRS_AT_ONCE
        end = max(begin + 1, int(np.searchsorted(up_to, limit, side="right")))
        yield slice(begin, end)
        begin = end


def _pair_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, 4], [P, 4] -> [P]: IoU of each pair of (x, y, width, height); 0 where both are empty.

    In pairs, unlike :func:`detection.boxes.iou`, and in float64, as the devkit: an overlap of
    exactly the threshold has to come out as that.
    """
    upper = np.maximum(a[:, :2], b[:, :2])
    lower = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    common = np.maximum(lower - upper, 0).prod(axis=1)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _mean(aps: list[float | None]) -> float | None:
    present = [ap for ap in aps if ap is not None]
    return fmean(present) if present else None
