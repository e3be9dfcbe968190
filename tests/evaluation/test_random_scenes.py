"""What holds for every ground truth and every list of detections.

Coordinates are whole numbers on a small grid and scores one of five, so that exact overlaps,
duplicates and ties are the rule and not the exception.
"""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.voc_ap import RECALL_LEVELS, evaluate_voc

IMAGE_IDS = [12, 3, 400]
CLASS_IDS = [90, 1]
EMPTY_IMAGE = 400
Scene = tuple[dict[str, Any], list[dict[str, Any]]]

# Tens of pixels, so that small (below 32²), medium and large (above 96²) boxes all occur.
boxes = st.tuples(*[st.integers(0, 4)] * 2, *[st.integers(1, 12)] * 2).map(
    lambda box: [10.0 * edge for edge in box]
)
scores = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])


@st.composite
def scenes(draw: st.DrawFn, flags: tuple[str, ...] = ("iscrowd", "difficult")) -> Scene:
    """Ground truth (its last image empty) and detections, about half of them of an object's box."""
    objects = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "image_id": st.sampled_from(IMAGE_IDS[:2]),
                    "category_id": st.sampled_from(CLASS_IDS),
                    "bbox": boxes,
                    **{flag: st.sampled_from([0, 0, 0, 1]) for flag in flags},
                }
            ),
            max_size=6,
        )
    )
    for number, annotation in enumerate(objects, start=1):
        annotation["id"] = number
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    known_boxes = st.sampled_from([o["bbox"] for o in objects]) if objects else boxes
    detections = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "image_id": st.sampled_from(IMAGE_IDS),
                    "category_id": st.sampled_from(CLASS_IDS),
                    "bbox": boxes | known_boxes,
                    "score": scores,
                }
            ),
            max_size=10,
        )
    )
    return ground_truth(objects), detections


def ground_truth(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in IMAGE_IDS],
        "annotations": objects,
        "categories": [{"id": c, "name": f"class {c}"} for c in CLASS_IDS],
    }


def required(truth: dict[str, Any]) -> list[dict[str, Any]]:
    return [o for o in truth["annotations"] if not (o["iscrowd"] or o["difficult"])]


@pytest.mark.slow
@settings(deadline=None)
@given(scenes())
def test_both_backends_give_identical_numbers(scene: Scene):
    assert evaluate_coco(*scene) == evaluate_coco(*scene, backend="pycocotools")


@settings(deadline=None)
@given(scenes(flags=("iscrowd",)).filter(lambda scene: len(scene[1]) > 0))
def test_coco_is_pycocotools_as_its_authors_call_it(scene: Scene):
    # No difficult objects: pycocotools does not know them.  It fails without detections.
    truth, detections = copy.deepcopy(scene)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = evaluate_coco(*scene).as_dict()
    del ours["per_class"]
    assert [-1 if value is None else value for value in ours.values()] == list(evaluation.stats)


@settings(deadline=None)
@given(scenes(), st.sampled_from([0.5, 0.75]))
def test_voc_is_the_loop_of_the_devkit(scene: Scene, threshold: float):
    result = evaluate_voc(*scene, iou_threshold=threshold)
    for class_id in CLASS_IDS:
        ours = result.per_class[f"class {class_id}"]
        eleven_point, area = voc_by_loops(*scene, class_id, threshold)
        assert ours.AP_11point == pytest.approx(eleven_point)
        assert ours.AP_area == pytest.approx(area)


@settings(deadline=None)
@given(scenes())
def test_all_numbers_lie_between_0_and_1(scene: Scene):
    numbers = list(every_number(evaluate_coco(*scene).as_dict()))
    numbers += every_number(evaluate_voc(*scene).as_dict())
    assert len(numbers) == 12 + 2 * 2 + 2 + 2 * 2
    assert all(number is None or 0 <= number <= 1 for number in numbers)


@settings(deadline=None)
@given(scenes())
def test_perfect_detections_give_1(scene: Scene):
    # Of two equal boxes VOC finds the first one twice, and so misses the second.
    unique = {(o["image_id"], o["category_id"], *o["bbox"]): o for o in required(scene[0])}
    objects = list(unique.values())
    others = [o for o in scene[0]["annotations"] if o["iscrowd"]]
    truth = ground_truth([*objects, *others])
    perfect = [{**o, "score": 0.5} for o in objects]

    voc = evaluate_voc(truth, perfect)
    best = 1.0 if objects else None
    assert (voc.mAP_11point, voc.mAP_area) == pytest.approx((best, best))
    coco = evaluate_coco(truth, perfect)
    ranked = (coco.AP, coco.AP50, coco.AP75, coco.AR100)
    assert ranked == pytest.approx((best, best, best, best))
    for size in (coco.APs, coco.APm, coco.APl, coco.ARs, coco.ARm, coco.ARl):
        assert size is None or size == pytest.approx(1.0)


@settings(deadline=None)
@given(scenes(), boxes, scores, st.sampled_from(CLASS_IDS))
def test_a_false_positive_never_raises_a_number(
    scene: Scene, box: list[float], score: float, class_id: int
):
    # At any rank: in the image without objects it takes no object from another detection.
    truth, detections = scene
    wrong = {"image_id": EMPTY_IMAGE, "category_id": class_id, "bbox": box, "score": score}
    for evaluate in (evaluate_voc, evaluate_coco):
        before = every_number(evaluate(truth, detections).as_dict())
        after = every_number(evaluate(truth, [*detections, wrong]).as_dict())
        for was, now in zip(before, after, strict=True):
            assert (was is None) == (now is None)
            assert was is None or now <= was + 1e-12


@settings(deadline=None)
@given(scenes())
def test_only_the_order_of_the_scores_matters(scene: Scene):
    truth, detections = scene
    rescored = [{**d, "score": 100 * d["score"] ** 3 - 7} for d in detections]
    assert evaluate_voc(truth, rescored) == evaluate_voc(truth, detections)
    assert evaluate_coco(truth, rescored) == evaluate_coco(truth, detections)


def every_number(results: dict[str, Any]) -> list[float | None]:
    """The APs and ARs of `as_dict()`, per class or not."""
    numbers = []
    for name, value in results.items():
        if isinstance(value, dict):
            numbers += every_number(value)
        elif name != "num_objects":
            numbers.append(value)
    return numbers


def voc_by_loops(
    truth: dict[str, Any], detections: list[dict[str, Any]], class_id: int, threshold: float
) -> tuple[float | None, float | None]:
    """VOCevaldet.m, line by line: 11-point and area AP of one class."""
    objects = [o for o in truth["annotations"] if o["category_id"] == class_id]
    optional = [o["iscrowd"] or o["difficult"] for o in objects]
    num_objects = optional.count(0)
    if num_objects == 0:
        return None, None
    taken, true_positives, false_positives = set(), 0, 0
    recalls, precisions = [], []
    ranked = sorted(
        (d for d in detections if d["category_id"] == class_id), key=lambda d: -d["score"]
    )
    for detection in ranked:
        best, best_overlap = None, 0.0
        for number, candidate in enumerate(objects):
            if candidate["image_id"] == detection["image_id"]:
                overlap = iou(detection["bbox"], candidate["bbox"])
                if overlap > best_overlap:
                    best, best_overlap = number, overlap
        if best is not None and best_overlap >= threshold:
            if optional[best]:
                continue
            true_positives += best not in taken
            false_positives += best in taken
            taken.add(best)
        else:
            false_positives += 1
        recalls.append(true_positives / num_objects)
        precisions.append(true_positives / (true_positives + false_positives))

    def best_precision(recall: float) -> float:
        reached = [p for p, r in zip(precisions, recalls, strict=True) if r >= recall]
        return max(reached, default=0.0)

    eleven_point = sum(best_precision(level) for level in RECALL_LEVELS) / 11
    area = sum(best_precision(n / num_objects) for n in range(1, num_objects + 1)) / num_objects
    return eleven_point, area


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)
