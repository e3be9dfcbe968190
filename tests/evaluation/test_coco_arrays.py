"""Wrong input is refused with the rule, the value, the place and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detection.evaluation.coco_arrays import detection_arrays, object_arrays


def ground_truth() -> dict[str, Any]:
    return {
        "images": [{"id": 9, "file_name": "b.jpg"}, {"id": 4, "file_name": "a.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4], "difficult": 1},
            {"id": 2, "image_id": 4, "category_id": 8, "bbox": [0, 0, 5, 5], "area": 7.5},
            {"id": 3, "image_id": 9, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
        "categories": [{"id": 8, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def detection(**changes: Any) -> dict[str, Any]:
    return {"image_id": 4, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.5, **changes}


def test_ids_become_numbers_in_ascending_order():
    objects = object_arrays(ground_truth())
    assert objects.class_names == ["cat", "dog"]
    assert objects.images.tolist() == [1, 0, 1]
    assert objects.classes.tolist() == [0, 1, 0]
    assert objects.areas.tolist() == [12, 7.5, 25]  # width x height where no area is given
    assert objects.difficult.tolist() == [True, False, False]
    assert objects.crowd.tolist() == [False, False, True]
    assert objects.count() == [0, 1]


def test_detections_keep_their_order_and_further_keys_are_allowed():
    arrays = detection_arrays(
        [detection(image_id=9, score=0.1, class_name="cat"), detection(score=0.9)],
        object_arrays(ground_truth()),
    )
    assert arrays.images.tolist() == [1, 0]
    assert arrays.scores.tolist() == [0.1, 0.9]
    assert arrays.boxes.shape == (2, 4)


def test_nothing_has_the_shape_of_something():
    empty = {"images": [], "annotations": [], "categories": []}
    objects = object_arrays(empty)
    assert objects.boxes.shape == (0, 4)
    assert objects.count() == []
    assert detection_arrays([], objects).boxes.shape == (0, 4)


def test_numpy_numbers_are_numbers():
    from_numpy = detection(bbox=np.array([0, 0, 5, 5], np.float32), score=np.float32(0.5))
    arrays = detection_arrays([from_numpy], object_arrays(ground_truth()))
    assert arrays.boxes.tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (detection(image_id=5), r"results\[1\]: image_id 5 is none of the ground truth's 2 images"),
        (detection(image_id="4"), r"results\[1\]: image_id '4' is none"),
        (detection(category_id=1), r"category_id 1 is none of the ground truth's \[3, 8\]; use"),
        (detection(score=float("nan")), r"results\[1\]: score nan is not a finite number"),
        (detection(score=float("inf")), "score inf is not a finite number"),
        (detection(score=None), "score None is not a finite number"),
        (detection(score="0.5"), "score '0.5' is not a finite number"),
        (detection(bbox=[0, 0, -5, 5]), r"bbox \[0, 0, -5, 5\] is not \[x, y, width, height\]"),
        (detection(bbox=[0, 0, 5, -5]), "bbox"),
        (detection(bbox=[0, 0, 5]), "bbox"),
        (detection(bbox=[0, 0, 5, float("nan")]), "bbox"),
        (detection(bbox=None), "bbox None"),
        ({"image_id": 4, "category_id": 3, "box": [0, 0, 5, 5], "score": 1}, "needs the keys"),
        (17, "needs the keys image_id, category_id, bbox, score, this one is 17"),
    ],
)
def test_wrong_detection(wrong: Any, message: str):
    with pytest.raises(ValueError, match=message):
        detection_arrays([detection(), wrong], object_arrays(ground_truth()), where="results")


@pytest.mark.parametrize(
    ("where", "changes", "message"),
    [
        ("annotations", {"image_id": 5}, r"ground truth: annotations\[1\]: image_id 5 is none"),
        ("annotations", {"category_id": 5}, r"annotations\[1\]: category_id 5 is none"),
        ("annotations", {"bbox": [0, 0, -1, 1]}, r"annotations\[1\]: bbox"),
        ("annotations", {"area": None}, r"annotations\[1\]: area None is not a finite number"),
        ("images", {"id": 9}, r"images: ids must differ, \[9\] stand more than once"),
        ("categories", {"id": 8}, r"categories: ids must differ, \[8\]"),
        ("categories", {"name": "dog"}, r"class names must differ, \['dog'\]"),
    ],
)
def test_wrong_ground_truth(where: str, changes: dict[str, Any], message: str):
    truth = ground_truth()
    truth[where][1].update(changes)
    with pytest.raises(ValueError, match=message):
        object_arrays(truth)


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
def test_missing_list(name: str):
    truth = ground_truth()
    del truth[name]
    with pytest.raises(ValueError, match=f"the list '{name}' is missing"):
        object_arrays(truth)


@pytest.mark.parametrize(("where", "key"), [("images", "id"), ("categories", "name")])
def test_missing_key(where: str, key: str):
    truth = ground_truth()
    del truth[where][1][key]
    with pytest.raises(ValueError, match=rf"{where}\[1\]: an entry needs the keys .*{key}"):
        object_arrays(truth)
