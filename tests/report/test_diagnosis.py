"""hotcoco's numbers against tidecv and against loops written out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.coco_arrays import detection_arrays, object_arrays
from detection.evaluation.mistakes import find_mistakes
from detection.report.content import Confusion
from detection.report.diagnosis import Diagnosis, confusion

Truth = dict[str, Any]
Detections = list[dict[str, Any]]
# TIDE's words for the six.
SHORT = {"class": "Cls", "place": "Loc", "both": "Both", "duplicate": "Dupe", "background": "Bkg",
         "missed": "Miss"}  # fmt: skip
# Of the scenes of 40 pictures by tidecv 1.0.1, with `by_tidecv` below: number, points of AP50.
FROZEN = {
    2: {"Cls": (22, 7.0973), "Loc": (31, 11.5327), "Both": (14, 1.8793), "Dupe": (18, 1.4031),
        "Bkg": (31, 4.2449), "Miss": (23, 11.0401)},
    4: {"Cls": (17, 7.8393), "Loc": (24, 8.6668), "Both": (6, 1.3832), "Dupe": (22, 0.7719),
        "Bkg": (59, 9.075), "Miss": (20, 9.7783)},
}  # fmt: skip


def diagnosis(truth: Truth, detections: Detections) -> Diagnosis:
    objects = object_arrays(truth)
    return Diagnosis(objects, detection_arrays(detections, objects))


def confusion_at(truth: Truth, detections: Detections, score: float) -> Confusion:
    matches = find_mistakes(truth, detections).matches
    found = confusion(object_arrays(truth), list(matches.values()), score=score)
    assert found is not None
    return found


def errors(truth: Truth, detections: Detections) -> dict[str, tuple[int, float]]:
    """By TIDE's names, the AP in points."""
    return {
        SHORT[error.name]: (error.number, 100 * error.AP50_lost)
        for error in diagnosis(truth, detections).errors()
    }


def assert_alike(
    ours: dict[str, tuple[int, float]], theirs: dict[str, tuple[int, float]], points: float
) -> None:
    assert {name: number for name, (number, _) in ours.items()} == {
        name: number for name, (number, _) in theirs.items()
    }
    for name, (_, lost) in theirs.items():
        assert ours[name][1] == pytest.approx(lost, abs=points), name


@pytest.mark.parametrize("seed", FROZEN)
def test_the_errors_are_those_that_tidecv_has_once_given(
    scene: Callable[..., Any], seed: int
) -> None:
    dataset, detections = scene(40, seed)
    assert_alike(errors(dataset.to_coco(), detections), FROZEN[seed], points=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_errors_are_those_of_tidecv(scene: Callable[..., Any], seed: int) -> None:
    dataset, detections = scene(40, seed)
    truth = dataset.to_coco()
    with matplotlib.rc_context():  # tidecv sets the style of all figures of the process
        pytest.importorskip("tidecv")
        theirs = by_tidecv(truth, detections)
    # At recalls that are exactly a level the two round otherwise: a tenth of a point.
    assert_alike(errors(truth, detections), theirs, points=0.1)


def by_tidecv(truth: Truth, detections: Detections) -> dict[str, tuple[int, float]]:
    from tidecv import TIDE, Data

    wanted, found = Data("wanted"), Data("found")
    for image in truth["images"]:
        wanted.add_image(image["id"], image["file_name"])
    for category in truth["categories"]:
        wanted.add_class(category["id"], category["name"])
    for each in truth["annotations"]:
        wanted.add_ground_truth(each["image_id"], each["category_id"], box=each["bbox"])
    for each in detections:
        found.add_detection(each["image_id"], each["category_id"], each["score"], box=each["bbox"])
    run = TIDE().evaluate(wanted, found, mode=TIDE.BOX, name="run")
    return {
        error.short_name: (len(run.error_dict[error]), float(lost))
        for error, lost in run.fix_main_errors().items()
    }


def test_what_a_difficult_object_or_a_crowd_has_on_it_is_no_error() -> None:
    """Only the second detection of a difficult object: it may be found once."""
    truth = one_picture(
        object_at(0), object_at(40, difficult=1), object_at(80, iscrowd=1), object_at(120, label=2)
    )
    found = [
        detection_at(0, 0.9), detection_at(40, 0.8), detection_at(41, 0.7), detection_at(80, 0.6),
        detection_at(81, 0.5), detection_at(120, 0.4, label=2),
    ]  # fmt: skip
    numbers = {name: number for name, (number, _) in errors(truth, found).items()}
    assert sum(numbers.values()) == numbers["Dupe"] == 1
    # Whose detections are neither right nor wrong are in no cell either.
    assert confusion_at(truth, found, 0.0).counts == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    missed = confusion_at(truth, found[:1], 0.0)
    assert missed.counts == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    bins, _ = diagnosis(truth, found).calibration()
    assert [one.detections for one in bins] == [0, 0, 0, 0, 1, 0, 0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_precision_over_recall_is_that_of_a_loop(
    scene: Callable[..., Any], seed: int, iou: float
) -> None:
    dataset, detections = scene(25, seed, crowd=0.15, difficult=0.15)
    truth = dataset.to_coco()
    found = diagnosis(truth, detections)
    means = []
    for label, category in enumerate(sorted(truth["categories"], key=lambda one: one["id"])):
        precision, scores = by_loops(truth, detections, category["id"], iou)
        curve = found.class_curve(label, iou)
        assert curve is not None
        assert curve.recall == pytest.approx(np.linspace(0, 1, 101))
        assert curve.precision == pytest.approx(precision, abs=1e-5)
        assert curve.score == pytest.approx(scores, abs=1e-5)
        assert found.class_ap(label, iou) == pytest.approx(np.mean(precision), abs=1e-12)
        means.append(precision)
    curve = found.mean_curve(iou)
    assert curve is not None
    assert curve.precision == pytest.approx(np.mean(means, axis=0), abs=1e-5)
    coco = evaluate_coco(truth, detections)
    of_all = coco.AP50 if iou == 0.5 else coco.AP75
    assert np.mean(curve.precision) == pytest.approx(of_all, abs=1e-5)


def by_loops(
    truth: Truth, detections: Detections, category: int, iou: float
) -> tuple[list[float], list[float | None]]:
    """COCO's rules (cocoeval.py), one picture and one detection after the other."""
    outcomes: list[tuple[float, str]] = []
    required = 0
    for image in truth["images"]:
        objects = [
            a for a in truth["annotations"]
            if a["image_id"] == image["id"] and a["category_id"] == category
        ]  # fmt: skip
        required += sum(not is_ignored(one) for one in objects)
        taken: set[int] = set()
        own = [
            d for d in detections
            if d["image_id"] == image["id"] and d["category_id"] == category
        ]  # fmt: skip
        for detection in sorted(own, key=lambda d: -d["score"]):
            free = [o for o in objects if o["id"] not in taken or o["iscrowd"]]
            fits = [o for o in free if overlap(detection["bbox"], o) >= iou]
            # One that is to be found comes before any other.
            fits.sort(key=lambda o: (is_ignored(o), -overlap(detection["bbox"], o)))
            if fits:
                taken.add(fits[0]["id"])
            outcome = "wrong" if not fits else "aside" if is_ignored(fits[0]) else "right"
            outcomes.append((detection["score"], outcome))
    points, right, seen = [], 0, 0
    for score, outcome in sorted(outcomes, key=lambda one: -one[0]):
        right += outcome == "right"
        seen += outcome != "aside"
        points.append((right / required, right / seen if seen else 0.0, score))
    precision, scores = [], list[float | None]()
    for level in np.linspace(0, 1, 101):
        reached = [point for point in points if point[0] >= level]
        precision.append(max((point[1] for point in reached), default=0.0))
        scores.append(reached[0][2] if reached else None)
    return precision, scores


def is_ignored(one: dict[str, Any]) -> bool:
    return bool(one["iscrowd"] or one["difficult"])


def overlap(box: list[float], one: dict[str, Any]) -> float:
    """IoU; of a crowd the share of ``box``."""
    (x, y, w, h), (u, v, k, m) = box, one["bbox"]
    common = max(0.0, min(x + w, u + k) - max(x, u)) * max(0.0, min(y + h, v + m) - max(y, v))
    return common / (w * h if one["iscrowd"] else w * h + k * m - common)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("score", [0.0, 0.6])
def test_confusion_is_that_of_a_loop(scene: Callable[..., Any], seed: int, score: float) -> None:
    dataset, detections = scene(25, seed)
    truth = dataset.to_coco()
    ids = sorted(dataset.category_ids)
    counts = np.zeros((4, 4), int)
    for image in truth["images"]:
        objects = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        own = [d for d in detections if d["image_id"] == image["id"] and d["score"] >= score]
        for detection in sorted(own, key=lambda d: -d["score"]):
            best = max(objects, key=lambda o: overlap(detection["bbox"], o), default=None)
            column = ids.index(detection["category_id"])
            if best is None or overlap(detection["bbox"], best) < 0.5:
                counts[3, column] += 1
            else:
                counts[ids.index(best["category_id"]), column] += 1
                objects.remove(best)
        for left in objects:
            counts[ids.index(left["category_id"]), 3] += 1
    found = confusion_at(truth, detections, score)
    assert found.counts == counts.tolist()
    assert found.names == [dataset.class_names[dataset.category_ids.index(one)] for one in ids]
    assert (found.score, found.iou) == (score, 0.5)


def test_more_than_a_hundred_detections_of_a_picture_are_all_in_the_matrix() -> None:
    truth = one_picture(object_at(0))
    many = [detection_at(500 + 20 * n, 0.9, label=2) for n in range(150)]
    assert confusion_at(truth, many, 0.5).counts == [[0, 0, 1], [0, 0, 0], [0, 150, 0]]


def test_calibration_by_hand() -> None:
    truth = one_picture(*(object_at(40 * n) for n in range(4)))
    found = [
        detection_at(0, 0.95), detection_at(40, 0.91), detection_at(1000, 0.99),  # 2 / 3 right
        detection_at(80, 0.25), detection_at(1100, 0.21),  # 1 / 2
        detection_at(1200, 1.0),  # in the last bin; wrong
    ]  # fmt: skip
    bins, error = diagnosis(truth, found).calibration()
    filled = {round(one.low, 9): (one.detections, one.right) for one in bins if one.detections}
    assert filled == {0.2: (2, 1), 0.9: (4, 2)}
    assert [bins[2].score, bins[9].score] == pytest.approx([0.23, 3.85 / 4])
    # Weighed by their detections: |0.23 - 1 / 2| and |0.9625 - 2 / 4|.
    assert error == pytest.approx(2 / 6 * 0.27 + 4 / 6 * 0.4625)
    assert [one.low for one in bins] == pytest.approx([n / 10 for n in range(10)])
    assert bins[0].score is None


@pytest.mark.parametrize("scores", [(1.5, 0.5), (-0.1, 0.5), ()])
def test_scores_that_are_no_probabilities_are_not_calibrated(scores: tuple[float, ...]) -> None:
    truth = one_picture(object_at(0))
    found = [detection_at(0, score) for score in scores]
    assert diagnosis(truth, found).calibration() == ([], None)
    assert len(diagnosis(truth, found).errors()) == 6


def test_a_class_without_objects_or_without_detections() -> None:
    found = diagnosis(one_picture(object_at(0)), [detection_at(0, 0.9, label=2)])
    assert found.class_curve(1, 0.5) is None
    assert found.class_ap(1, 0.5) is None
    curve = found.class_curve(0, 0.5)
    assert curve is not None
    assert set(curve.precision) == {0.0}
    assert set(curve.score) == {None}
    nothing = diagnosis(one_picture(), [detection_at(0, 0.9)])
    assert nothing.mean_curve(0.5) is None
    assert [error.AP50_lost for error in nothing.errors()] == [0.0] * 6


def test_nothing_is_confused_where_there_are_no_classes() -> None:
    objects = object_arrays(one_picture())
    assert confusion(replace(objects, class_names=[], class_index={}), [], score=0.5) is None


def one_picture(*objects: dict[str, Any]) -> Truth:
    return {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 2000, "height": 100}],
        "annotations": [{"id": n, **one} for n, one in enumerate(objects, start=1)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def object_at(x: float, *, label: int = 1, **flags: int) -> dict[str, Any]:
    box = [float(x), 0.0, 20.0, 20.0]
    return {"image_id": 1, "category_id": label, "bbox": box, "iscrowd": 0, "difficult": 0, **flags}


def detection_at(x: float, score: float, *, label: int = 1) -> dict[str, Any]:
    return {
        "image_id": 1, "category_id": label, "bbox": [float(x), 0.0, 20.0, 20.0], "score": score,
    }  # fmt: skip
