"""A report as a whole, against metrics.json, and loops where that has no number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset
from detection.data.findings import Oddity
from detection.engine.evaluate import Scores, measure
from detection.evaluation.bootstrap import BootstrapSettings, compare, estimate
from detection.evaluation.coco_ap import evaluate_coco
from detection.report.comparison import OtherRun
from detection.report.content import ClassReport, Report
from detection.report.measure import Measured, measure_report

BOOTSTRAP: BootstrapSettings = {"resamples": 30, "confidence": 0.95, "seed": 1}
Scene = tuple[DetectionDataset, list[dict[str, Any]]]


def report_of(scene: Scene, **further: Any) -> tuple[Report, Scores]:
    dataset, detections = scene
    scores = measure(dataset.to_coco(), detections, backend="hotcoco")
    measured = Measured(
        title="test",
        dataset=dataset,
        split="val",
        detections=detections,
        coco=scores.coco,
        voc=scores.voc,
        **further,
    )
    report = measure_report(measured)
    json.dumps(asdict(report), allow_nan=False)  # plain values alone
    return report, scores


@pytest.fixture(scope="module")
def flagged(scene: Callable[..., Scene]) -> Scene:
    return scene(30, 5, crowd=0.1, difficult=0.1)


def test_the_numbers_are_those_of_metrics_json(flagged: Scene) -> None:
    dataset, detections = flagged
    intervals = estimate(dataset.to_coco(), detections, **BOOTSTRAP)
    report, scores = report_of(flagged, intervals=intervals)
    metrics = {**scores.coco.as_dict(), **scores.voc.as_dict()}
    del metrics["per_class"]
    assert {name: number.value for name, number in report.numbers.items()} == metrics
    assert len(metrics) == 14
    for name, number in report.numbers.items():
        interval = getattr(intervals, name, None)
        assert (number.low, number.high) == (
            (None, None) if interval is None else (interval.low, interval.high)
        )
    for one in report.classes:
        of_coco, of_voc = scores.coco.per_class[one.name], scores.voc.per_class[one.name]
        assert (one.AP, one.AP50, one.voc_AP) == (of_coco.AP, of_coco.AP50, of_voc.AP_area)
        assert one.objects == of_coco.num_objects
        assert [curve.iou for curve in one.curves] == [0.5, 0.75]
        for ap, curve in zip((one.AP50, one.AP75), one.curves, strict=True):
            assert np.mean(curve.precision) == pytest.approx(ap, abs=1e-5)
    assert np.mean([one.AP75 for one in report.classes]) == pytest.approx(scores.coco.AP75)
    assert [(size.AP, size.AR100) for size in report.sizes] == [
        (scores.coco.APs, scores.coco.ARs),
        (scores.coco.APm, scores.coco.ARm),
        (scores.coco.APl, scores.coco.ARl),
    ]


def test_objects_are_counted_by_size_as_coco_does(flagged: Scene) -> None:
    report, _ = report_of(flagged)
    areas = [
        a["area"]
        for a in flagged[0].to_coco()["annotations"]
        if not (a["iscrowd"] or a["difficult"])
    ]
    assert [size.objects for size in report.sizes] == [
        sum(area <= 32**2 for area in areas),
        sum(32**2 <= area <= 96**2 for area in areas),
        sum(area >= 96**2 for area in areas),
    ]
    assert report.sizes[-1].high is None


def test_the_score_and_the_thresholds_are_those_of_the_best_f1(scene: Callable[..., Scene]) -> None:
    """Without crowds and difficult objects: every detection is right or wrong."""
    found = scene(30, 6)
    report, _ = report_of(found)
    truth, detections = found[0].to_coco(), found[1]
    by_score = sorted({d["score"] for d in detections})
    ids = dict(zip(found[0].class_names, found[0].category_ids, strict=True))
    for one in report.classes:
        own = [d for d in detections if d["category_id"] == ids[one.name]]
        best = max((at_score(truth, own, ids[one.name], s)[0], s) for s in by_score)
        assert one.threshold is not None
        assert at_score(truth, own, ids[one.name], one.threshold) == pytest.approx(
            (best[0], one.precision, one.recall)
        )
        # Rounded no way: the detection that has it is taken.
        assert one.threshold in {d["score"] for d in own}
    best = max((at_score(truth, detections, None, s)[0], s) for s in by_score)
    assert at_score(truth, detections, None, report.score) == pytest.approx(
        (best[0], report.precision, report.recall)
    )


def at_score(
    truth: dict[str, Any], detections: list[dict[str, Any]], category: int | None, score: float
) -> tuple[float, float, float]:
    """F1, precision and recall, one picture and one detection after the other."""
    objects = [a for a in truth["annotations"] if category is None or a["category_id"] == category]
    seen = sorted((d for d in detections if d["score"] >= score), key=lambda d: -d["score"])
    taken: set[int] = set()
    for detection in seen:
        fits = [
            (overlap(detection["bbox"], o["bbox"]), -o["id"])
            for o in objects
            if o["id"] not in taken
            and (o["image_id"], o["category_id"])
            == (detection["image_id"], detection["category_id"])
        ]
        if fits and max(fits)[0] >= 0.5:
            taken.add(-max(fits)[1])
    right = len(taken)
    if not seen:
        return 0.0, 0.0, 0.0
    return 2 * right / (len(seen) + len(objects)), right / len(seen), right / len(objects)


def overlap(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def test_the_counts_of_a_class_are_of_all_its_objects(flagged: Scene) -> None:
    report, _ = report_of(flagged)
    assert report.confusion is not None
    for number, one in enumerate(report.classes):
        ends = one.found + one.missed + one.misplaced + sum(one.confused.values())
        assert ends == one.objects == sum(report.confusion.counts[number])
    assert report.confusion.names == [one.name for one in report.classes]
    assert report.confusion.score == report.score
    found = sum(one.found for one in report.classes)
    assert report.recall == pytest.approx(found / sum(one.objects for one in report.classes))


def test_what_the_data_are_is_counted(flagged: Scene) -> None:
    dataset = replace(flagged[0], oddities=(Oddity("boxes outside", 3, "1.jpg"),))
    report, _ = report_of((dataset, flagged[1]))
    data, examples = report.data, dataset.examples
    assert (data.images, data.split, data.source) == (30, "val", str(dataset.source))
    assert data.empty == sum(not len(e.labels) for e in examples) > 0
    assert data.objects == sum(len(e.labels) for e in examples)
    assert data.objects > sum(one.objects for one in report.classes)
    assert data.crowds == sum(int(e.crowd.sum()) for e in examples) > 0
    assert data.difficult == sum(int(e.difficult.sum()) for e in examples) > 0
    assert sum(data.sides.counts) == data.objects
    sides = [float(w) for e in examples for w in e.annotated[:, 2]]  # all are squares
    between = [sum(16 <= side < 32 for side in sides), sum(48 <= side < 64 for side in sides)]
    assert [data.sides.counts[2], data.sides.counts[4]] == between
    assert data.sides.edges == [0, 8, 16, 32, 48, 64, 96]
    assert data.per_picture.edges == [0, 1, 2, 3, 4, 5]
    assert data.per_picture.counts[0] == data.empty
    assert data.oddities == ["3 x boxes outside: 1.jpg"]


def test_a_class_without_objects_has_no_numbers(scene: Callable[..., Scene]) -> None:
    dataset, detections = scene(10, 1)
    more = replace(dataset, class_names=(*dataset.class_names, "yak"), category_ids=(30, 7, 12, 9))
    found = [*detections, {**detections[0], "category_id": 9, "score": 0.999}]
    report, _ = report_of((more, found), learnt_from={"yak": 4, "cat": 90, "dog": 80, "owl": 2})
    yak = of(report, "yak")
    assert (yak.AP, yak.AP50, yak.AP75, yak.voc_AP, yak.threshold) == (None,) * 5
    assert (yak.objects, yak.learnt_from, yak.curves, yak.reasons) == (0, 4, [], [])
    assert yak.both + yak.background + yak.duplicates <= 1
    assert of(report, "owl").reasons[0] == "few boxes to learn from (2)"


def of(report: Report, name: str) -> ClassReport:
    return next(one for one in report.classes if one.name == name)


def test_nothing_is_detected(scene: Callable[..., Scene]) -> None:
    dataset, _ = scene(5, 2)
    report, _ = report_of((dataset, []))
    assert report.numbers["AP"].value == 0
    assert (report.precision, report.recall, report.score) == (None, 0.0, 0.5)
    assert report.calibration == []
    assert {one.threshold for one in report.classes} == {None}
    assert "mistakes are counted from 0.5 on" in report.notes[0]
    number = {error.name: error.number for error in report.errors}
    assert number["missed"] == sum(one.objects for one in report.classes) > 0


def test_nothing_is_to_be_found(scene: Callable[..., Scene]) -> None:
    dataset, detections = scene(5, 2)
    nothing = replace(dataset, examples=[e.keep(np.zeros(0, int)) for e in dataset.examples])
    report, _ = report_of((nothing, detections))
    assert report.numbers["AP"].value is None
    assert report.recall is None
    assert report.curves == []
    assert report.data.sides.counts == [0]
    assert {choice.choice for choice in report.pictures} <= {"most mistakes"}


def test_so_many_classes_have_no_matrix(scene: Callable[..., Scene]) -> None:
    dataset, detections = scene(3, 4)
    more = tuple(range(1000, 1398))
    names, ids = (*dataset.class_names, *map(str, more)), (*dataset.category_ids, *more)
    report, _ = report_of((replace(dataset, class_names=names, category_ids=ids), detections))
    assert report.confusion is None
    assert len(report.classes) == 401
    assert all(bool(one.curves) == bool(one.objects) for one in report.classes)


def test_a_single_picture(scene: Callable[..., Scene]) -> None:
    report, scores = report_of(scene(1, 4))
    assert report.data.images == 1
    assert report.numbers["AP50"].value == scores.coco.AP50


def test_another_run_is_compared_on_the_same_pictures(scene: Callable[..., Scene]) -> None:
    dataset, detections = scene(30, 8)
    truth = dataset.to_coco()
    perfect = [{**a, "score": 0.9} for a in truth["annotations"]]
    same = OtherRun(name="same", detections=detections)
    better = OtherRun(name="better", detections=perfect, AP=1.0)
    elsewhere = OtherRun(name="elsewhere", detections=perfect[:5], AP=0.9)
    report, scores = report_of(
        (dataset, detections), others=[same, better, elsewhere], bootstrap=BOOTSTRAP
    )
    assert [one.name for one in report.comparisons] == ["same", "better", "elsewhere"]
    alike, worse, _ = (one.differences for one in report.comparisons)
    assert [one.difference.value for one in alike] == [0, 0]
    assert [one.significant for one in alike] == [False, False]
    expected = compare(truth, perfect, detections, **BOOTSTRAP)
    assert [one.name for one in worse] == ["AP", "AP50"]
    for one, interval, ap in zip(
        worse, (expected.AP, expected.AP50), (scores.coco.AP, scores.coco.AP50), strict=True
    ):
        assert (one.this, one.other) == (ap, pytest.approx(1))
        assert ap is not None
        assert one.difference.value == pytest.approx(ap - 1)
        assert (one.difference.low, one.difference.high) == (interval.low, interval.high)
        assert one.significant
    of_perfect = evaluate_coco(truth, perfect).per_class
    assert report.comparisons[1].per_class == {
        name: (one.AP, of_perfect[name].AP) for name, one in scores.coco.per_class.items()
    }
    # Its own AP is another one than here.
    assert len(report.notes) == 2  # and that the pictures are not there
    assert report.notes[0].startswith("elsewhere says an AP of 90.0")


def test_pictures_that_are_not_there_are_a_note(
    scene: Callable[..., Scene], tmp_path: Path
) -> None:
    report, _ = report_of(scene(5, 2, folder=tmp_path / "gone"))
    assert report.pictures == []
    assert "5 pictures of the gallery could not be read" in report.notes[-1]
    assert "gone" in report.notes[-1]
