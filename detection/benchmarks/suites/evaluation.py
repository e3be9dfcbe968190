"""Suite `evaluation`: COCO's twelve numbers, compared with pycocotools.

Compared first: all twelve numbers.  VOC's metrics of the same detections are timed without a peer.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import torch

from detection.benchmarks.measurement import Case
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.voc_ap import evaluate_voc

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
TOLERANCE = 1e-9


def cases(
    *,
    device: torch.device,
    images: int,
    classes: int,
    objects_per_image: int,
    detections_per_image: int,
    seed: int,
) -> Iterator[list[Case]]:
    """COCO's numbers, then VOC's, of synthetic detections near synthetic objects."""
    ground_truth, detections = made_up(
        images=images,
        classes=classes,
        objects_per_image=objects_per_image,
        detections_per_image=detections_per_image,
        seed=seed,
    )
    ours = evaluate_coco(ground_truth, detections, backend="hotcoco")
    theirs = _pycocotools(ground_truth, detections)
    for name, expected in zip(NUMBERS, theirs, strict=True):
        value = getattr(ours, name)
        if abs((-1.0 if value is None else value) - expected) > TOLERANCE:
            raise AssertionError(f"{name} is {value}, pycocotools says {expected}")
    facts = {"AP": ours.AP, "objects": len(ground_truth["annotations"])}
    yield [
        Case(
            "pycocotools", "float64", lambda: _pycocotools(ground_truth, detections),
            peer=True, items=images,
        ),
        Case(
            "this, hotcoco", "float64",
            lambda: evaluate_coco(ground_truth, detections, backend="hotcoco"),
            items=images, facts=facts,
        ),
    ]  # fmt: skip
    yield [
        Case("this, VOC", "float64", lambda: evaluate_voc(ground_truth, detections), items=images)
    ]


def made_up(
    *, images: int, classes: int, objects_per_image: int, detections_per_image: int, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth, and detections near its objects: the nearer, the higher the score."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        size = np.exp(random.uniform(np.log(10), np.log(300), (objects_per_image, 2)))
        corner = random.uniform(0, 1, (objects_per_image, 2)) * (640 - size)
        boxes = np.concatenate((corner, size), axis=1)
        labels = random.integers(1, classes + 1, objects_per_image)
        for box, label in zip(boxes, labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label),
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
            )
        chosen = random.integers(0, objects_per_image, detections_per_image)
        noise = random.exponential(0.15, detections_per_image)
        moved = boxes[chosen] + random.normal(size=(detections_per_image, 4)) * (
            noise[:, None] * np.tile(boxes[chosen, 2:], 2)
        )
        moved[:, 2:] = np.maximum(moved[:, 2:], 1)
        scores = np.exp(-3 * noise) * random.uniform(0.5, 1, detections_per_image)
        detections += [
            {
                "image_id": image,
                "category_id": int(labels[number]),
                "bbox": box,
                "score": score,
            }
            for number, box, score in zip(chosen, moved.tolist(), scores.tolist(), strict=True)
        ]
    ground_truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 640}
            for i in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, classes + 1)],
    }
    return ground_truth, detections


def _pycocotools(ground_truth: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = pycocotools.coco.COCO()
        wanted.dataset = ground_truth
        wanted.createIndex()
        found = wanted.loadRes([dict(detection) for detection in detections])
        evaluation = pycocotools.cocoeval.COCOeval(wanted, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]
