"""COCO's numbers on examples whose arithmetic fits in a comment; what the libraries are given."""

from __future__ import annotations

import copy
import json
from typing import Any, Literal

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation.coco_ap import counted_by_coco, evaluate_coco
from detection.evaluation.coco_arrays import detection_arrays, object_arrays

Backend = Literal["hotcoco", "pycocotools"]


@pytest.fixture(params=["hotcoco", "pycocotools"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


def scene(*objects: dict[str, Any], classes: int = 1) -> dict[str, Any]:
    """A ground truth of two images; each object gives at least its box."""
    return {
        "images": [{"id": 7, "file_name": "7.jpg"}, {"id": 3, "file_name": "3.jpg"}],
        "annotations": [{"image_id": 7, "category_id": 5, **o} for o in objects],
        "categories": [{"id": 5 * c, "name": f"class {c}"} for c in range(1, classes + 1)],
    }


def found(score: float, bbox: list[float], **other: int) -> dict[str, Any]:
    return {"image_id": 7, "category_id": 5, "bbox": bbox, "score": score, **other}


def numbers(
    truth: dict[str, Any], detections: list[dict[str, Any]], *, backend: Backend
) -> dict[str, Any]:
    return evaluate_coco(truth, detections, backend=backend).as_dict()


A, B, NOWHERE = [0, 0, 10, 10], [50, 50, 10, 10], [80, 0, 10, 10]


def test_right_wrong_right_of_two_objects(backend: Backend):
    # Precision is 1 up to recall 0.5 and 2/3 up to 1.  Of COCO's 101 recall levels 51 (0 ... 0.50)
    # have 1 and 50 have 2/3, at every IoU threshold: the boxes are exact.
    result = numbers(
        scene({"bbox": A}, {"bbox": B}),
        [found(0.9, A), found(0.8, NOWHERE), found(0.7, B)],
        backend=backend,
    )
    ap = (51 + 50 * 2 / 3) / 101
    assert (result["AP"], result["AP50"], result["AP75"]) == pytest.approx((ap, ap, ap))
    assert (result["AR1"], result["AR10"], result["AR100"]) == (0.5, 1.0, 1.0)
    assert result["per_class"]["class 1"]["AP"] == pytest.approx(ap)
    assert result["per_class"]["class 1"]["num_objects"] == 2


@pytest.mark.parametrize(
    ("height", "ap", "ap75"),
    [
        (6.2, 0.3, 0.0),  # IoU = 62 / 100: found at 0.50, 0.55 and 0.60, three of ten thresholds
        (7.7, 0.6, 1.0),  # found at 0.50 ... 0.75
    ],
)
def test_the_iou_thresholds(backend: Backend, height: float, ap: float, ap75: float):
    result = numbers(scene({"bbox": A}), [found(0.9, [0, 0, 10, height])], backend=backend)
    assert result["AP"] == pytest.approx(ap)
    assert result["AP50"] == pytest.approx(1.0)
    assert result["AP75"] == pytest.approx(ap75)
    assert result["AR100"] == pytest.approx(ap)
    assert result["per_class"]["class 1"]["AP"] == pytest.approx(ap)
    assert result["per_class"]["class 1"]["AP50"] == pytest.approx(1.0)


def test_sizes(backend: Backend):
    # 10 x 10 is small, 50 x 50 medium, 100 x 100 large; the medium one is missed.
    large, medium = [100, 100, 100, 100], [20, 20, 50, 50]
    truth = scene({"bbox": A}, {"bbox": medium}, {"bbox": large})
    result = numbers(truth, [found(0.9, A), found(0.8, large)], backend=backend)
    assert (result["APs"], result["APm"], result["APl"]) == pytest.approx((1, 0, 1))
    assert (result["ARs"], result["ARm"], result["ARl"]) == (1, 0, 1)
    # The area that is given decides, not the box (of masks it is the smaller).
    truth["annotations"][2]["area"] = 50.0**2
    assert numbers(truth, [found(0.8, large)], backend=backend)["APl"] is None


def test_crowd_takes_any_number_of_detections_inside_it(backend: Backend):
    crowd = {"bbox": [40, 40, 60, 60], "iscrowd": 1}
    inside = [found(0.9, [50, 50, 5, 5]), found(0.8, [60, 60, 5, 5])]
    result = numbers(scene({"bbox": A}, crowd), [*inside, found(0.7, A)], backend=backend)
    assert result["AP"] == pytest.approx(1.0)
    assert result["per_class"]["class 1"]["num_objects"] == 1


def test_difficult_object_may_be_found_once_or_missed(backend: Backend):
    truth = scene({"bbox": A}, {"bbox": B, "difficult": 1})
    missed = numbers(truth, [found(0.7, A)], backend=backend)
    once = numbers(truth, [found(0.9, B), found(0.7, A)], backend=backend)
    assert missed["AP"] == pytest.approx(1.0)
    assert once["AP"] == pytest.approx(1.0)
    # The second find is a false positive before the one that is right: precision 1/2.
    twice = numbers(truth, [found(0.9, B), found(0.8, B), found(0.7, A)], backend=backend)
    assert twice["AP"] == pytest.approx(0.5)
    # Unlike a crowd, it is no cover for whatever lies inside it.
    inside = numbers(truth, [found(0.9, [50, 50, 4, 4]), found(0.7, A)], backend=backend)
    assert inside["AP"] == pytest.approx(0.5)
    assert missed["per_class"]["class 1"]["num_objects"] == 1


def test_equal_scores_go_by_image_id(backend: Backend):
    # Image 3 comes before image 7, whatever the lists' order: wrong before right.
    result = numbers(
        scene({"bbox": A}), [found(0.5, A), found(0.5, A, image_id=3)], backend=backend
    )
    assert result["AP"] == pytest.approx(0.5)


def test_class_without_objects_has_no_ap_and_no_part_in_the_mean(backend: Backend):
    truth = scene({"bbox": A}, classes=2)
    result = numbers(truth, [found(0.9, A), found(0.9, A, category_id=10)], backend=backend)
    assert result["AP"] == pytest.approx(1.0)
    assert result["per_class"]["class 2"]["AP"] is None
    assert result["per_class"]["class 2"]["AP50"] is None


def test_no_objects_at_all_is_null_in_json(backend: Backend):
    result = numbers(scene(), [found(0.9, A)], backend=backend)
    written = json.loads(json.dumps(result, allow_nan=False))
    per_class = written.pop("per_class")
    precisions = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    recalls = ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert written == dict.fromkeys(precisions + recalls)
    assert per_class == {"class 1": {"num_objects": 0, "AP": None, "AP50": None}}


def test_no_detections(backend: Backend):
    result = numbers(scene({"bbox": A}), [], backend=backend)
    assert (result["AP"], result["AR100"], result["APs"], result["APl"]) == (0, 0, 0, None)


def test_annotation_with_id_zero_can_be_found(backend: Backend):
    # pycocotools, given ids as they come, takes a match with annotation 0 for no match.
    result = numbers(scene({"bbox": A, "id": 0}), [found(0.9, A)], backend=backend)
    assert result["AP"] == pytest.approx(1.0)


def test_inputs_stay_as_they_are_and_nothing_is_printed(
    backend: Backend, capfd: pytest.CaptureFixture[str]
):
    truth, detections = scene({"bbox": A, "difficult": 1}), [found(0.9, A)]
    before = copy.deepcopy((truth, detections))
    numbers(truth, detections, backend=backend)
    assert (truth, detections) == before
    assert capfd.readouterr() == ("", "")


def test_unknown_backend():
    with pytest.raises(ValueError, match="backend 'coco' is unknown; choose hotcoco"):
        evaluate_coco(scene(), [], backend="coco")  # type: ignore[arg-type]


def test_what_coco_does_not_count_is_left_out_before(backend: Backend) -> None:
    """Of 260 detections the 100 best of each class, of equal ones the first, as COCO has it."""
    random = np.random.default_rng(0)
    boxes = [[20.0 * (n % 15), 20.0 * (n // 15), 15.0, 15.0] for n in range(260)]
    order = random.permutation(260)
    truth = scene(
        *({"bbox": box, "category_id": 5 + 5 * (n % 2)} for n, box in enumerate(boxes)), classes=2
    )
    detections = [
        found(float(random.integers(1, 4)) / 4, boxes[n], category_id=5 + 5 * int(n % 2))
        for n in order
    ]
    objects = object_arrays(truth)
    assert len(counted_by_coco(detection_arrays(detections, objects)).scores) == 200
    wanted, given = COCO(), COCO()
    area = {"area": 225.0, "iscrowd": 0}
    annotations, results = (
        [one | area | {"id": n} for n, one in enumerate(entries, start=1)]
        for entries in (truth["annotations"], detections)
    )
    wanted.dataset = truth | {"annotations": annotations}
    given.dataset = truth | {"annotations": results}
    wanted.createIndex()
    given.createIndex()
    own = COCOeval(wanted, given, "bbox")
    own.evaluate()
    own.accumulate()
    own.summarize()
    measured = evaluate_coco(truth, detections, backend=backend)
    ours = [measured.AP, measured.AR1, measured.AR10, measured.AR100]
    assert ours == pytest.approx([own.stats[0], *own.stats[6:9]], abs=1e-12)
    assert 0 < own.stats[0] < own.stats[8] < 1
