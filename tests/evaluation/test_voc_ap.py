"""VOC's average precision on examples whose arithmetic fits in a comment."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from detection.evaluation import voc_ap
from detection.evaluation.coco_arrays import detection_arrays, object_arrays
from detection.evaluation.voc_ap import (
    VocAP,
    area_ap,
    eleven_point_ap,
    evaluate_voc,
    match_detections,
)


def scene(*objects: dict[str, Any], images: int = 1, classes: int = 1) -> dict[str, Any]:
    """A ground truth; each object gives at least its box, and is of image 1 and class 1."""
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(1, images + 1)],
        "annotations": [{"image_id": 1, "category_id": 1, **o} for o in objects],
        "categories": [{"id": c, "name": f"class {c}"} for c in range(1, classes + 1)],
    }


def found(score: float, bbox: list[float], **other: int) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": bbox, "score": score, **other}


def only(result: VocAP) -> tuple[float | None, float | None]:
    of_class = result.per_class["class 1"]
    return of_class.AP_11point, of_class.AP_area


A, B, NOWHERE = [0, 0, 10, 10], [50, 50, 10, 10], [80, 0, 10, 10]


def test_right_wrong_right_of_two_objects():
    # Recall     0.5  0.5  1
    # Precision  1    1/2  2/3
    # 11-point: the levels 0 ... 0.5 (6 of them) have 1, the levels 0.6 ... 1 (5) have 2/3.
    # Area: 0.5 * 1 + 0.5 * 2/3.
    result = evaluate_voc(
        scene({"bbox": A}, {"bbox": B}), [found(0.9, A), found(0.8, NOWHERE), found(0.7, B)]
    )
    assert only(result) == pytest.approx(((6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3))


def test_half_of_the_objects():
    # Recall stops at 0.5: the levels 0 ... 0.5 have precision 1, the other five 0.
    result = evaluate_voc(scene({"bbox": A}, {"bbox": B}), [found(0.9, A)])
    assert only(result) == pytest.approx((6 / 11, 0.5))


def test_precision_is_the_best_at_that_recall_or_later():
    # Wrong, right, right of 2: precision 0, 1/2, 2/3; made monotonous 2/3, 2/3, 2/3.
    correct = np.array([False, True, True])
    assert eleven_point_ap(correct, 2) == pytest.approx(2 / 3)
    assert area_ap(correct, 2) == pytest.approx(2 / 3)


def test_recall_of_exactly_three_tenths_is_below_the_level():
    # 3 of 10 found: the levels 0, 0.1 and 0.2 have precision 1.  0.3 is 3 * 0.1 =
    # 0.30000000000000004, as in every evaluation whose numbers are published.
    assert eleven_point_ap(np.ones(3, dtype=bool), 10) == pytest.approx(3 / 11)
    # 2 of 10: 2 * 0.1 is the same number as 2 / 10.
    assert eleven_point_ap(np.ones(2, dtype=bool), 10) == pytest.approx(3 / 11)


@pytest.mark.parametrize(
    ("height", "threshold", "ap"),
    [
        (5, 0.5, 1.0),  # IoU = 50 / 100, exactly the threshold: found
        (4.99, 0.5, 0.0),
        (5, 0.51, 0.0),
        (4.99, 0.4, 1.0),
    ],
)
def test_threshold_is_inclusive(height: float, threshold: float, ap: float):
    detections = [found(0.9, [0, 0, 10, height])]
    result = evaluate_voc(scene({"bbox": A}), detections, iou_threshold=threshold)
    assert only(result) == (ap, ap)


def test_second_find_is_a_false_positive():
    # The surer one is right; then wrong, and B last: precision 1, 1/2, 2/3 as above.
    detections = [found(0.7, B), found(0.8, A), found(0.9, [0, 0, 10, 9])]
    result = evaluate_voc(scene({"bbox": A}, {"bbox": B}), detections)
    assert only(result) == pytest.approx(((6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3))


def test_second_find_does_not_fall_to_the_neighbour():
    # Both detections overlap the first object most (IoU 1 and 9/10).  The second one would also
    # find the neighbour (IoU 7/12 = 0.58), and VOC does not let it: one of two objects is found.
    first, neighbour = [0, 0, 10, 10], [0, 2, 10, 10]
    detections = [found(0.9, first), found(0.8, [0, 0, 10, 9])]
    result = evaluate_voc(scene({"bbox": first}, {"bbox": neighbour}), detections)
    assert only(result) == pytest.approx((6 / 11, 0.5))


@pytest.mark.parametrize("flag", ["difficult", "iscrowd"])
def test_optional_objects_neither_count_nor_penalise(flag: str):
    truth = scene({"bbox": A}, {"bbox": B, flag: 1})
    assert evaluate_voc(truth, []).per_class["class 1"].num_objects == 1
    # Found twice before the other object: still not a false positive.
    detections = [found(0.9, B), found(0.8, B), found(0.7, A)]
    assert only(evaluate_voc(truth, detections)) == (1.0, 1.0)
    # Without the flag the second find is one: 1, 1/2, 2/3.
    plain = scene({"bbox": A}, {"bbox": B})
    assert only(evaluate_voc(plain, detections)) != (1.0, 1.0)


def test_a_match_is_correct_or_ignored_or_neither():
    objects = object_arrays(scene({"bbox": A}, {"bbox": B, "difficult": 1}))
    ranked = [found(0.9, B), found(0.8, A), found(0.7, A), found(0.6, NOWHERE), found(0.5, B)]
    matches = match_detections(objects, detection_arrays(ranked, objects), iou_threshold=0.5)
    assert matches.correct.tolist() == [False, True, False, False, False]
    assert matches.ignored.tolist() == [True, False, False, False, True]


def test_boxes_match_within_their_image_and_class_only():
    truth = scene({"bbox": A}, images=2, classes=2)
    assert only(evaluate_voc(truth, [found(0.9, A)])) == (1.0, 1.0)
    assert only(evaluate_voc(truth, [found(0.9, A, image_id=2)])) == (0.0, 0.0)
    assert only(evaluate_voc(truth, [found(0.9, A, category_id=2)])) == (0.0, 0.0)


def test_class_without_objects_has_no_ap_and_no_part_in_the_mean():
    truth = scene({"bbox": A}, {"bbox": B, "category_id": 3, "difficult": 1}, classes=3)
    result = evaluate_voc(truth, [found(0.9, A), found(0.9, A, category_id=2)])
    assert (result.mAP_11point, result.mAP_area) == (1.0, 1.0)
    assert result.as_dict()["per_class"]["class 2"] == {
        "num_objects": 0,
        "AP_11point": None,
        "AP_area": None,
    }
    assert result.per_class["class 3"].AP_area is None


def test_no_objects_at_all():
    result = evaluate_voc(scene(), [found(0.9, A)])
    assert (result.mAP_11point, result.mAP_area) == (None, None)


def test_no_detections():
    assert only(evaluate_voc(scene({"bbox": A}), [])) == (0.0, 0.0)


@pytest.mark.filterwarnings("error")  # of a division by zero
def test_empty_boxes_overlap_nothing():
    empty = [5, 5, 0, 0]
    assert only(evaluate_voc(scene({"bbox": empty}), [found(0.9, empty)])) == (0.0, 0.0)


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_threshold(threshold: float):
    with pytest.raises(ValueError, match="iou_threshold must lie in"):
        evaluate_voc(scene({"bbox": A}), [], iou_threshold=threshold)


def dense(objects: int, detections: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Pictures of many objects of few classes; every third detection overlaps two equally."""
    random = np.random.default_rng(0)

    def box() -> list[float]:
        return [*random.integers(0, 60, 2).tolist(), *random.integers(4, 12, 2).tolist()]

    def where() -> dict[str, int]:
        return {"image_id": int(random.integers(1, 4)), "category_id": int(random.integers(1, 3))}

    truth = scene(*({"bbox": box(), **where()} for _ in range(objects)), images=3, classes=2)
    return truth, [found(random.random(), box(), **where()) for _ in range(detections)]


@pytest.mark.parametrize("at_once", [1, 100, 777])
def test_blocks_of_pairs_change_no_bit(at_once: int, monkeypatch: pytest.MonkeyPatch):
    truth, detections = dense(200, 300)
    expected = evaluate_voc(truth, detections)
    assert expected.mAP_area
    monkeypatch.setattr(voc_ap, "PAIRS_AT_ONCE", at_once)
    assert evaluate_voc(truth, detections) == expected


def test_memory_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch):
    objects = object_arrays(scene(*({"bbox": A} for _ in range(600))))
    detections = detection_arrays([found(0.5, A) for _ in range(600)], objects)
    monkeypatch.setattr(voc_ap, "PAIRS_AT_ONCE", 10_000)
    tracemalloc.start()
    match_detections(objects, detections, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 360,000 pairs of about 150 bytes would be 54 MB; 10,000 are 1.5 MB.
    assert peak < 5e6
