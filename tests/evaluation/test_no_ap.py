"""An AP of 0 or "-" says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detection.evaluation.no_ap import explain
from detection.evaluation.voc_ap import evaluate_voc

Records = list[dict[str, Any]]


def ground_truth() -> dict[str, Any]:
    """12 pictures of 200 x 100, five objects each, of classes 3, 4 and 7 in turn."""
    random = np.random.default_rng(0)
    annotations = []
    for image in range(1, 13):
        for _ in range(5):
            box = [*random.uniform(0, 60, 2), *random.uniform(12, 30, 2)]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "bbox": box}
                | {"category_id": (3, 4, 7)[int(random.integers(3))]}
            )
    return {
        "images": [{"id": i, "width": 200, "height": 100} for i in range(1, 13)],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in ((3, "cat"), (4, "dog"), (7, "ox"))],
    }


def found(truth: dict[str, Any], **change: Callable[[Any], Any]) -> Records:
    """All objects, detected; the keys that ``change`` names are changed."""
    ids = {key: {each["id"] for each in truth[key]} for key in ("images", "categories")}
    records = [
        {key: change.get(key, lambda value: value)(a[key]) for key in
         ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for a in truth["annotations"]
    ]  # fmt: skip
    return [
        r for r in records if r["image_id"] in ids["images"]
        and r["category_id"] in ids["categories"]
    ]  # fmt: skip


def notes(truth: dict[str, Any], records: Records) -> tuple[str, ...]:
    return explain(truth, records, evaluate_voc(truth, records))


def corners(box: list[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def test_right_detections_need_no_words() -> None:
    truth = ground_truth()
    assert notes(truth, found(truth)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_id": lambda i: i - 1}, "image ids are below those of the annotations by 1"),
        ({"image_id": lambda i: i + 1}, "image ids are above those of the annotations by 1"),
        ({"category_id": {3: 4, 4: 7, 7: 3}.get}, "category ids are numbered otherwise"),
        ({"bbox": lambda b: [b[0] / 200, b[1] / 100, b[2] / 200, b[3] / 100]}, "parts of the pict"),
        ({"bbox": corners}, r"two corners \(x1, y1, x2, y2\)"),
        ({"bbox": lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, *b[2:]]}, "at their centre"),
        ({"bbox": lambda b: [9 * b[0] + 500, b[1] * 9, b[2] * 9, b[3] * 9]}, "outside their pict"),
    ],
)
def test_what_makes_it_zero_is_named(change: dict[str, Callable[[Any], Any]], said: str) -> None:
    truth = ground_truth()
    (line,) = notes(truth, found(truth, **change))
    assert line.startswith("AP is ")
    assert re.search(said, line), line


def test_no_detections_are_named() -> None:
    (line,) = notes(ground_truth(), [])
    assert "there are no detections: all scores lie below the threshold" in line


def test_a_detector_that_has_not_learnt_is_none_of_these() -> None:
    truth = ground_truth()
    random = np.random.default_rng(1)
    noise = [
        {"image_id": 1 + k % 12, "category_id": 3, "bbox": [150, 70, 5, 5], "score": s}
        for k, s in enumerate(random.uniform(0, 0.1, 50).tolist())
    ]
    (line,) = notes(truth, noise)
    assert "no detection overlaps an object of its class by half" in line
    assert "has not learnt yet" in line


def test_a_class_without_objects_or_detections_says_so() -> None:
    truth = ground_truth()
    truth["categories"].append({"id": 9, "name": "yak"})
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = int(annotation["category_id"] == 4)
    lines = notes(truth, [r for r in found(truth) if r["category_id"] == 3])
    assert lines[0] == "no AP (-) of yak: no picture of this split has an object of it"
    assert lines[1].startswith("no AP (-) of dog (")
    assert "crowd, 0 difficult): all its objects are crowd or difficult" in lines[1]
    assert lines[2] == "AP is 0 of ox: there is no detection of it"


def test_more_objects_than_coco_counts_are_said() -> None:
    truth = ground_truth()
    first = truth["annotations"][0]
    truth["annotations"] = [
        first | {"id": k + 1, "bbox": [k % 20 * 10, k // 20 * 5, 8, 4]} for k in range(300)
    ]
    lines = notes(truth, found(truth))
    assert any("1 times a picture has more than 100 objects of one class (up to 300)" in line
               and "cannot pass 33.3%" in line for line in lines)  # fmt: skip


def test_detections_that_a_limit_cut_are_said() -> None:
    truth = ground_truth()
    first = truth["annotations"][0]
    truth["annotations"] += [
        first | {"id": 1000 + k, "bbox": [k % 20 * 10, k // 20 * 5, 8, 4]} for k in range(70)
    ]
    records = found(truth)
    of_first = [r for r in records if r["image_id"] == 1]
    others = [r for r in records if r["image_id"] != 1]
    said = "1 pictures have more objects (up to 75) than the 60 detections that a picture has"
    assert any(said in line for line in notes(truth, others + of_first[:60]))
    for whole in (others + of_first, others + of_first[:40]):
        assert not any("than the" in line for line in notes(truth, whole))
