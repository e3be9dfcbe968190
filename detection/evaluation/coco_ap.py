"""COCO's twelve numbers for boxes (https://cocodataset.org/#detection-eval).

The evaluation is a library's: hotcoco, or pycocotools, the original, whose arrays of precision and
recall it reproduces to the last bit.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import hotcoco
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import (
    Detection,
    DetectionArrays,
    GroundTruth,
    Objects,
    detection_arrays,
    object_arrays,
)

# Positions on the last two axes of the libraries' arrays.
ALL, SMALL, MEDIUM, LARGE = range(4)  # areas: any, < 32², 32² ... 96², > 96² square pixels
TOP1, TOP10, TOP100 = range(3)  # detections kept in each image and class
MOST_COUNTED = 100
# Positions on the first axis: the IoU thresholds are 0.50, 0.55, ..., 0.95.
IOU50, IOU75 = 0, 5


@dataclass(frozen=True)
class CocoClassAP:
    """One class.  ``num_objects``: those to be found.  ``AP``, ``AP50``: None if there are none."""

    num_objects: int
    AP: float | None
    AP50: float | None


@dataclass(frozen=True)
class CocoAP:
    """COCO's twelve numbers, and AP per class.  All in [0, 1].

    ``AP``: mean over the classes and the IoU thresholds 0.50 ... 0.95.  ``AP50``, ``AP75``: at one
    threshold.  ``APs``, ``APm``, ``APl``: small, medium and large objects.  ``AR1``, ``AR10``,
    ``AR100``: recall with so many detections per image and class.  ``ARs``, ``ARm``, ``ARl``: that
    recall at 100, by size.

    A number of which the ground truth has no objects is None, where COCO's own code says -1: no
    one averages a None by mistake, and in JSON it is null.
    """

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None
    AR1: float | None
    AR10: float | None
    AR100: float | None
    ARs: float | None
    ARm: float | None
    ARl: float | None
    per_class: dict[str, CocoClassAP]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the twelve by name, then ``per_class``: {name: {num_objects, AP, AP50}}."""
        return asdict(self)


@dataclass(frozen=True)
class _Curves:
    """``precision``: [10 IoUs, 101 recalls, C, 4 areas, 3 tops].  ``recall``: [10, C, 4, 3].

    -1 where the ground truth has no objects.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def evaluate_coco(
    ground_truth: GroundTruth,
    detections: Sequence[Detection],
    *,
    backend: Literal["hotcoco", "pycocotools"] = "hotcoco",
) -> CocoAP:
    """COCO's numbers for ``detections``.

    Both inputs are as :mod:`detection.evaluation.coco_arrays` says.
    A crowd follows COCO's rule: what covers it is neither right nor wrong.  A difficult object
    (VOC's flag, which COCO does not know) may be found once, at the same overlaps as any object,
    which then is neither right nor wrong; missing it costs nothing.

    ``backend``: the library that computes; the result is the same.  Raises ValueError for inputs
    that are not as described.
    """
    objects = object_arrays(ground_truth)
    arrays = counted_by_coco(detection_arrays(detections, objects))
    if backend == "hotcoco":
        curves = _run_hotcoco(objects, arrays)
    elif backend == "pycocotools":
        curves = _run_pycocotools(objects, arrays)
    else:
        raise ValueError(f"backend {backend!r} is unknown; choose hotcoco or pycocotools")
    return _summary(objects, curves)


def _summary(objects: Objects, curves: _Curves) -> CocoAP:
    precision, recall = curves.precision, curves.recall
    per_class = {
        name: CocoClassAP(
            num_objects=num_objects,
            AP=_mean(precision[:, :, number, ALL, TOP100]),
            AP50=_mean(precision[IOU50, :, number, ALL, TOP100]),
        )
        for number, (name, num_objects) in enumerate(
            zip(objects.class_names, objects.count(), strict=True)
        )
    }
    return CocoAP(
        AP=_mean(precision[..., ALL, TOP100]),
        AP50=_mean(precision[IOU50, ..., ALL, TOP100]),
        AP75=_mean(precision[IOU75, ..., ALL, TOP100]),
        APs=_mean(precision[..., SMALL, TOP100]),
        APm=_mean(precision[..., MEDIUM, TOP100]),
        APl=_mean(precision[..., LARGE, TOP100]),
        AR1=_mean(recall[..., ALL, TOP1]),
        AR10=_mean(recall[..., ALL, TOP10]),
        AR100=_mean(recall[..., ALL, TOP100]),
        ARs=_mean(recall[..., SMALL, TOP100]),
        ARm=_mean(recall[..., MEDIUM, TOP100]),
        ARl=_mean(recall[..., LARGE, TOP100]),
        per_class=per_class,
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    present = values[values > -1]
    return float(present.mean()) if present.size else None


def _run_hotcoco(objects: Objects, detections: DetectionArrays) -> _Curves:
    wanted, found = coco_datasets(objects, detections)
    evaluation = hotcoco.COCOeval(hotcoco.COCO(wanted), hotcoco.COCO(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    return _Curves(evaluation.eval["precision"], evaluation.eval["recall"])


def _run_pycocotools(objects: Objects, detections: DetectionArrays) -> _Curves:
    wanted, found = coco_datasets(objects, detections)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        # Not loadRes(): it fails on an empty list.
        coco_wanted, coco_found = pycocotools.coco.COCO(), pycocotools.coco.COCO()
        coco_wanted.dataset, coco_found.dataset = wanted, found
        coco_wanted.createIndex()
        coco_found.createIndex()
        evaluation = pycocotools.cocoeval.COCOeval(coco_wanted, coco_found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return _Curves(evaluation.eval["precision"], evaluation.eval["recall"])


def coco_datasets(
    objects: Objects, detections: DetectionArrays
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ground truth and detections as both libraries index them.

    The ids are our own numbers + 1.  Zero must not occur: pycocotools takes a match with annotation
    0 for no match.
    """
    shared = {
        "images": [{"id": number + 1} for number in range(len(objects.image_index))],
        "categories": [
            {"id": number, "name": name} for number, name in enumerate(objects.class_names, start=1)
        ],
    }
    # COCO ignores an object outside the range of areas being evaluated, and an infinite area is
    # outside all of them: the way to say "ignore this one" without calling it a crowd, which would
    # change how overlaps are measured.  ("ignore", which COCO's format has, is overwritten by
    # pycocotools.)
    areas = np.where(objects.difficult, math.inf, objects.areas)
    wanted = _annotations(objects, area=areas, iscrowd=objects.crowd.astype(int))
    found = _annotations(
        detections,
        area=detections.boxes[:, 2] * detections.boxes[:, 3],
        iscrowd=np.zeros(len(detections.scores), dtype=int),
        score=detections.scores,
    )
    return {**shared, "annotations": wanted}, {**shared, "annotations": found}


def counted_by_coco(detections: DetectionArrays) -> DetectionArrays:
    """The 100 with the highest scores of each image and class, in their order; the first of ties.

    Both libraries leave out the others themselves, hotcoco only when it has their overlaps with all
    objects in memory.
    """
    order = np.lexsort((-detections.scores, detections.classes, detections.images))  # is stable
    groups = np.stack([detections.images[order], detections.classes[order]])
    begins = np.append(True, (groups[:, 1:] != groups[:, :-1]).any(axis=0))[: len(order)]
    places = np.arange(len(order))
    rank = places - np.maximum.accumulate(np.where(begins, places, 0))
    kept = np.sort(order[rank < MOST_COUNTED])
    return DetectionArrays(
        images=detections.images[kept],
        classes=detections.classes[kept],
        boxes=detections.boxes[kept],
        scores=detections.scores[kept],
    )


def _annotations(rows: Objects | DetectionArrays, **columns: NDArray[Any]) -> list[dict[str, Any]]:
    columns |= {
        "id": np.arange(len(rows.images)) + 1,
        "image_id": rows.images + 1,
        "category_id": rows.classes + 1,
        "bbox": rows.boxes,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]
