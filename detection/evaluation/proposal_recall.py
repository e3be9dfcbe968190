"""Recall of proposals: COCO's average recall (Hosang et al. 2016), whatever the class.

AR is the mean over the IoU thresholds 0.50, 0.55, ..., 0.95 of the share of all objects that are
found, where one proposal finds at most one object.  The evaluation is a library's, as in
:mod:`detection.evaluation.coco_ap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import hotcoco
import numpy as np
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.evaluation.coco_arrays import GroundTruth, Objects, object_arrays
from detection.structures import Proposals

TOPS = (100, 300, 1000)
SIZES = ("", "s", "m", "l")  # any, < 32², 32² ... 96², > 96² square pixels


@dataclass(frozen=True)
class ImageProposals:
    """``boxes``: [P, 4], (x, y, width, height).  ``scores``: [P].  In any order."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    @staticmethod
    def of(proposals: Proposals) -> ImageProposals:
        """``proposals``: in pixels of the original image, on the CPU."""
        boxes = box_ops.to_coco(proposals.boxes.float().numpy())
        return ImageProposals(boxes, proposals.logits.float().numpy())


def proposal_recall(
    ground_truth: GroundTruth, proposals: Mapping[int, ImageProposals]
) -> dict[str, float | None]:
    """AR100, AR300, AR1000, and with s, m, l appended those of small, medium and large objects.

    All in [0, 1]; None where there are no such objects.  Crowds and difficult objects need not be
    found.  ``proposals``: by image id; an image that has none may be absent.
    """
    objects = object_arrays(ground_truth)
    unknown = proposals.keys() - objects.image_index.keys()
    if unknown:
        raise ValueError(f"proposals: image ids {sorted(unknown)[:5]} are not in the ground truth")
    wanted, found = hotcoco.COCO(_objects(objects)), hotcoco.COCO(_proposals(objects, proposals))
    evaluation = hotcoco.COCOeval(wanted, found, "bbox")
    parameters = evaluation.params
    parameters.useCats = False
    parameters.maxDets = list(TOPS)
    evaluation.params = parameters
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    recall = evaluation.eval["recall"]  # [10 IoUs, 1, 4 sizes, 3 tops]
    return {
        f"AR{top}{size}": _mean(recall[:, :, i, j])
        for j, top in enumerate(TOPS)
        for i, size in enumerate(SIZES)
    }


def recall_of_taken(
    ground_truth: GroundTruth, proposals: Mapping[int, ImageProposals]
) -> dict[str, float | None]:
    """:func:`proposal_recall` up to the number that there are of an image; {} without any."""
    most = max((len(one.scores) for one in proposals.values()), default=0)
    tops = [top for before, top in zip((0, *TOPS), TOPS, strict=False) if before < most]
    names = [f"AR{top}{size}" for top in tops for size in SIZES]
    recall = proposal_recall(ground_truth, proposals) if names else {}
    return {name: recall[name] for name in names}


def _mean(values: NDArray[np.float64]) -> float | None:
    present = values[values > -1]
    return float(present.mean()) if present.size else None


def _objects(objects: Objects) -> dict[str, list[dict]]:
    # An infinite area: COCO's way to say "ignore this one" without calling it a crowd.
    areas = np.where(objects.difficult, math.inf, objects.areas)
    columns = zip(
        objects.images.tolist(),
        objects.boxes.tolist(),
        areas.tolist(),
        objects.crowd.tolist(),
        strict=True,
    )
    annotations = [
        {"id": i, "image_id": image + 1, "category_id": 1, "bbox": box, "area": area,
         "iscrowd": int(crowd)}
        for i, (image, box, area, crowd) in enumerate(columns, start=1)
    ]  # fmt: skip
    return _dataset(objects, annotations)


def _proposals(objects: Objects, proposals: Mapping[int, ImageProposals]) -> dict[str, list[dict]]:
    annotations: list[dict] = []
    for image_id, proposed in proposals.items():
        image = objects.image_index[image_id] + 1
        for box, score in zip(proposed.boxes.tolist(), proposed.scores.tolist(), strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0, "score": score}
            )  # fmt: skip
    return _dataset(objects, annotations)


def _dataset(objects: Objects, annotations: list[dict]) -> dict[str, list[dict]]:
    return {
        "images": [{"id": number + 1} for number in range(len(objects.image_index))],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }
