"""Detections are matched to the annotations by file and class name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.coco_results import read_coco_results
from detection.evaluation.matching_names import matched_by_name

# 12 pictures: sorted by name 1, 10, 11, 12, 2 ..., so that detect.py numbers them otherwise.
NAMES = [f"img_{number}.jpg" for number in range(1, 13)]
TRUTH: dict[str, Any] = {
    "images": [
        {"id": number, "file_name": name, "width": 100, "height": 100}
        for number, name in enumerate(NAMES, start=1)
    ],
    "annotations": [
        {
            "id": number, "image_id": number, "category_id": 1 + number % 2,
            "bbox": [5 * number, 3, 20, 20],
        }
        for number in range(1, 13)
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}  # fmt: skip


def of_detect(
    names: list[str], *, ids_of: dict[str, int], folder: str = ""
) -> list[dict[str, Any]]:
    """Perfect detections, numbered as detect.py does, by names in their order; cats are 7."""
    found = []
    for number, name in enumerate(sorted(names), start=1):
        annotation = TRUTH["annotations"][NAMES.index(name)]
        class_name = "cat" if annotation["category_id"] == 1 else "dog"
        found.append(
            {
                "image_id": number, "category_id": ids_of[class_name], "bbox": annotation["bbox"],
                "score": 0.9, "file_name": f"{folder}{name}", "class_name": class_name,
            }
        )  # fmt: skip
    return found


@pytest.mark.parametrize("folder", ["", "val/", "photos\\val\\"])
@pytest.mark.parametrize("ids", [{"cat": 1, "dog": 2}, {"cat": 2, "dog": 1}, {"cat": 7, "dog": 9}])
def test_names_count_where_ids_are_others(
    tmp_path: Path, folder: str, ids: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(of_detect(NAMES, ids_of=ids, folder=folder)))
    with caplog.at_level("INFO"):
        found = read_coco_results(path, TRUTH)
    assert pytest.approx(1.0) == evaluate_coco(TRUTH, found, backend="pycocotools").AP
    assert "detections.json: 11 of 12 records have another image_id" in caplog.text
    assert ("12 of 12 records have another category_id" in caplog.text) == (ids["cat"] != 1)


def test_records_without_names_keep_their_ids(caplog: pytest.LogCaptureFixture) -> None:
    plain = [{"image_id": 3, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 0.5}]
    with caplog.at_level("INFO"):
        assert matched_by_name(plain, TRUTH, where="x") == plain
    assert not caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"file_name": "img_13.jpg"}, r"x\[0\]: file_name 'img_13.jpg' is none of .* 12 images"),
        ({"class_name": "cats"}, r"x\[0\]: class_name 'cats' is none .* \(the nearest is 'cat'\)"),
    ],
)
def test_unknown_names_are_refused(names: dict[str, str], message: str) -> None:
    record = {"image_id": 3, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 0.5, **names}
    with pytest.raises(ValueError, match=message):
        matched_by_name([record], TRUTH, where="x")


def test_capitals_and_names_that_stand_twice() -> None:
    twice = {**TRUTH, "images": [{"id": i, "file_name": "a.jpg"} for i in (1, 2)]}
    record = {"image_id": 2, "category_id": 5, "file_name": "sub/a.jpg", "class_name": "Dog"}
    assert matched_by_name([record], twice, where="x")[0]["image_id"] == 2
    assert matched_by_name([record], twice, where="x")[0]["category_id"] == 2
    with pytest.raises(ValueError, match="is that of 2 of the ground truth's images"):
        matched_by_name([{**record, "image_id": 5}], twice, where="x")
