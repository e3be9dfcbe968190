"""The per-class table, to the letter."""

from __future__ import annotations

import pytest

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.table import per_class_table
from detection.evaluation.voc_ap import evaluate_voc


def test_table():
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]},
            {"image_id": 1, "category_id": 2, "bbox": [50, 50, 10, 10]},
            {"image_id": 1, "category_id": 2, "bbox": [80, 80, 10, 10]},
        ],
        "categories": [
            {"id": 1, "name": "cat"},
            {"id": 2, "name": "dining table"},
            {"id": 3, "name": "yak"},
        ],
    }
    detections = [
        # IoU 62 / 100: three of COCO's ten thresholds, and VOC's.
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 6.2], "score": 0.9},
        # One of two tables: 51 of COCO's 101 recall levels, 6 of VOC's 11, half of the area.
        {"image_id": 1, "category_id": 2, "bbox": [50, 50, 10, 10], "score": 0.9},
    ]
    table = per_class_table(evaluate_coco(truth, detections), evaluate_voc(truth, detections))
    assert table.splitlines() == [
        "AP in %       objects    AP   AP50  11-point   area",
        "---------------------------------------------------",
        "cat                 1  30.0  100.0     100.0  100.0",
        "dining table        2  50.5   50.5      54.5   50.0",
        "yak                 0     -      -         -      -",
        "---------------------------------------------------",
        "mean                3  40.2   75.2      77.3   75.0",
    ]


def test_results_of_different_classes():
    def truth(name: str) -> dict[str, list[dict[str, object]]]:
        return {"images": [], "annotations": [], "categories": [{"id": 1, "name": name}]}

    with pytest.raises(ValueError, match="must have the same classes"):
        per_class_table(evaluate_coco(truth("cat"), []), evaluate_voc(truth("dog"), []))
