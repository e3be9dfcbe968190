"""COCO results files: the round trip, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detection.evaluation.coco_results import read_coco_results, write_coco_results
from detection.evaluation.detections_file import read_detections

TRUTH: dict[str, Any] = {
    "images": [
        {"id": 30, "file_name": "photos/000007.jpg"},
        {"id": 20, "file_name": "photos/my dog.v2.png"},
    ],
    "annotations": [],
    "categories": [{"id": 8, "name": "light"}, {"id": 3, "name": "traffic_light"}],
}
DETECTIONS: list[dict[str, Any]] = [
    {"image_id": 30, "category_id": 8, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.5},
    {"image_id": 20, "category_id": 8, "bbox": [10.25, 20.5, 30.0, 40.125], "score": 1e-7},
    {"image_id": 20, "category_id": 3, "bbox": [5.0, 6.0, 0.0, 8.0], "score": 0.75},
]


def test_coco_round_trip(tmp_path: Path):
    path = tmp_path / "results.json"
    detections = [{**d, "note": "further keys stay"} for d in DETECTIONS]
    write_coco_results(detections, path)
    assert read_detections(path, TRUTH) == detections


def test_coco_is_not_written_with_nan(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_coco_results([{**DETECTIONS[0], "score": float("nan")}], tmp_path / "r.json")
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": 30', r"results.json: not a JSON file \(.*line 1 column"),
        ('{"images": []}', "results.json: a COCO results file is a list of detections.*dict"),
        (json.dumps([{**DETECTIONS[0], "image_id": 1}]), r"results.json\[0\]: image_id 1 is none"),
        (json.dumps([{**DETECTIONS[0], "category_id": 1}]), r"\[0\]: category_id 1 is none"),
        (json.dumps([{**DETECTIONS[0], "score": float("nan")}]), r"\[0\]: score nan"),
        (json.dumps([{**DETECTIONS[0], "score": "0.9"}]), r"score '0.9' is not .*without quotes"),
        (json.dumps([{**DETECTIONS[0], "image_id": [30]}]), r"\[0\]: image_id \[30\] is none"),
        ('[{"image_id": 30, "label": 8}]', r"\[0\]: an entry needs the keys"),
    ],
)
def test_coco_wrong_file(tmp_path: Path, text: str, message: str):
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_coco_results(path, TRUTH)


def test_no_such_path(tmp_path: Path):
    with pytest.raises(ValueError, match=r"absent: detections must be an existing"):
        read_detections(tmp_path / "absent", TRUTH)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_coco_in_other_encodings(tmp_path: Path, encoding: str):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(DETECTIONS), encoding=encoding)
    assert read_coco_results(path, TRUTH) == DETECTIONS
