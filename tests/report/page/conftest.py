"""A report of random numbers, with names and pictures that a page has to bear."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any, cast, get_args

import cv2
import numpy as np
import pytest

from detection.report.content import (
    CalibrationBin,
    Choice,
    ClassReport,
    Comparison,
    Confusion,
    Curve,
    DataFacts,
    Difference,
    DrawnBox,
    ErrorType,
    Estimate,
    Histogram,
    Picture,
    Report,
    Series,
    SizeReport,
    Training,
    Verdict,
)
from detection.shapes.scenes import Recipe, Scene, draw_scene

HOSTILE = [
    "</script><b>bold</b>",
    "\"double\" 'single' & <img src=x onerror=alert(1)>",
    "漢字かな",
    "שלום עולם",
    "\u202eoverridden",
    "x" * 200,
    "line\u2028separator",
    "{{ 7 * 7 }}",
]
PLAIN = ["bicycle", "bird", "boat", "bottle", "bus", "cat", "chair", "cow", "dog", "horse", "sofa"]
ERRORS = ("class", "place", "both", "duplicate", "background", "missed")
SCORE = 0.4372
Rng = np.random.Generator


@functools.cache
def scene(number: int) -> Scene:
    recipe = Recipe(seed=1, image_side=320, max_objects=6, empty_fraction=0, typical_colours=1)
    return draw_scene(recipe=recipe, split="val", index=number)


@functools.cache
def thumbnail(number: int) -> str:
    encoded = cv2.imencode(".jpg", scene(number).image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return base64.b64encode(encoded.tobytes()).decode()


def share(rng: Rng) -> float:
    return float(rng.uniform(0.2, 0.9))


def curve(rng: Rng, iou: float, end: float, scored: bool = True) -> Curve:
    recall = np.linspace(0, 1, 101)
    precision = np.where(recall < end, 1 - (recall / end) ** 3 * rng.uniform(0.3, 0.8), 0)
    scores = [float(1 - r / end) if r < end and scored else None for r in recall]
    return Curve(iou=iou, recall=recall.tolist(), precision=precision.tolist(), score=scores)


def class_report(rng: Rng, name: str, others: list[str]) -> ClassReport:
    objects, found = int(rng.integers(60, 900)), int(rng.integers(5, 50))
    taken = {str(other): int(rng.integers(1, 30)) for other in rng.choice(others, 3, replace=False)}
    taken.pop(name, None)
    ap = share(rng)
    curves = [curve(rng, 0.5, 0.92), curve(rng, 0.75, 0.7)]
    return ClassReport(
        name=name,
        objects=objects,
        pictures=objects // 2,
        learnt_from=int(rng.integers(100, 30000)),
        AP=ap,
        AP50=min(1, ap * 1.5),
        AP75=ap * 1.05,
        voc_AP=None,
        threshold=curves[0].score[70],
        precision=curves[0].precision[70],
        recall=curves[0].recall[70],
        found=found,
        missed=int(rng.integers(0, 20)),
        misplaced=int(rng.integers(0, 20)),
        duplicates=int(rng.integers(0, 9)),
        both=int(rng.integers(0, 9)),
        background=int(rng.integers(0, 60)),
        confused=taken,
        curves=curves,
        reasons=["few boxes to learn from: `data.train_split=trainval`"] if ap < 0.35 else [],
    )


def picture(rng: Rng, number: int, names: list[str]) -> Picture:
    drawn = scene(number % 12)
    height, width = drawn.image.shape[:2]
    objects, detections = [], []
    for thing in drawn.objects:
        name, other = (str(one) for one in rng.choice(names, 2, replace=False))
        box = cast("tuple[float, float, float, float]", tuple(2.0 * side for side in thing.box))
        moved = tuple(side + rng.normal(0, 0.02 * width) for side in box)
        verdict = str(rng.choice(["found", "confused", "missed"], p=[0.6, 0.2, 0.2]))
        ending = other if verdict == "confused" else None
        objects.append(DrawnBox(name=name, box=box, verdict=cast(Verdict, verdict), other=ending))
        if verdict != "missed":
            detections.append(
                DrawnBox(
                    name=other if ending else name,
                    box=cast("tuple[float, float, float, float]", moved),
                    verdict="confused" if ending else "right",
                    score=float(rng.uniform(0.45, 1)),
                    other=name if ending else None,
                )
            )
    for verdict in rng.choice(["background", "duplicate", "misplaced", "both"], 2):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        detections.append(
            DrawnBox(
                name=str(rng.choice(names)),
                box=(x, y, x + 0.6 * width, y + 0.5 * height),
                verdict=cast(Verdict, str(verdict)),
                score=float(rng.uniform(SCORE / 3, 0.8)),
            )
        )
    return Picture(
        file_name=f"{number:03}_{'שלום' if number % 5 == 1 else 'picture'}<i>.jpg",
        width=2 * width,
        height=2 * height,
        jpeg=thumbnail(number % 12),
        choice=get_args(Choice)[number % 3],
        mistakes=sum(one.verdict in ("confused", "missed") for one in objects),
        objects=objects,
        detections=detections,
    )


def training(rng: Rng) -> Training:
    steps = list(range(20, 9001, 60))
    names = ("total", "rpn class", "rpn box", "class", "box")
    losses = [
        Series(
            name=name,
            iterations=steps,
            values=[2 / k * (0.05 + np.exp(-i / 2000)) * rng.uniform(0.8, 1.2) for i in steps],
        )
        for k, name in enumerate(names, start=1)
    ]
    validated = list(range(1000, 9001, 1000))
    rise = [0.5 * (1 - np.exp(-i / 2500)) for i in validated]
    return Training(
        losses=losses,
        rate=Series(
            name="rate",
            iterations=steps,
            values=[0.02 * min(1, i / 500) * (1 if i < 6000 else 0.1) for i in steps],
        ),
        validation=[
            Series(name="AP", iterations=validated, values=[0.6 * one for one in rise]),
            Series(name="AP50", iterations=validated, values=rise),
        ],
        best=8000,
    )


def difference(name: str, this: float, other: float, spread: float) -> Difference:
    value = this - other
    return Difference(
        name=name,
        this=this,
        other=other,
        difference=Estimate(value=value, low=value - spread, high=value + spread),
        significant=abs(value) > spread,
    )


def build_report(classes: int = 20, pictures: int = 40, seed: int = 0) -> Report:
    rng = np.random.default_rng(seed)
    names = [*HOSTILE, *PLAIN, *(f"class {number}" for number in range(classes))][:classes]
    counts = rng.poisson(0.25, (classes + 1, classes + 1))
    counts[np.arange(classes), np.arange(classes)] = rng.integers(5, 60, classes)
    counts[:, -1] = rng.integers(0, 20, classes + 1)
    counts[-1] = rng.integers(0, 20, classes + 1)
    counts[-1, -1] = 0
    drawn = [picture(rng, number, names) for number in range(pictures)]
    for thing in (thing for one in drawn for thing in one.objects if thing.other):
        counts[names.index(thing.name), names.index(thing.other)] += 1
    reports = [class_report(rng, name, names) for name in names]
    bins = rng.integers(30, 900, 10)
    right = [0.8 * (k + 0.5) / 10 for k in range(10)]
    others = ("APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    return Report(
        title="Faster R-CNN on VOC 2007 test <&>",
        facts={
            "Checkpoint": "outputs/train/best.pt",
            "Network": "ResNet-101 C4, 20 classes",
            "Tested": "26 November 2026, 14:03",
            "Time": "412 s, 12.0 pictures a second",
            "Device": "1 GPU, bf16",
        },
        numbers={
            "AP": Estimate(value=0.4312, low=0.4197, high=0.4421),
            "AP50": Estimate(value=0.7284, low=0.7131, high=0.7422),
            "AP75": Estimate(value=0.4551, low=0.4389, high=0.4706),
            **{name: Estimate(value=share(rng)) for name in others},
            "mAP_11point": Estimate(value=0.7391),
            "mAP_area": Estimate(value=None),
        },
        score=SCORE,
        precision=0.7345,
        recall=0.6987,
        classes=reports,
        curves=[curve(rng, i, e, scored=False) for i, e in ((0.5, 0.9), (0.75, 0.7), (0.9, 0.4))],
        confusion=Confusion(names=names, counts=counts.tolist(), score=SCORE, iou=0.5),
        errors=[
            ErrorType(name=name, number=int(rng.integers(9, 4000)), AP50_lost=share(rng) / 9)
            for name in cast("Any", ERRORS)
        ],
        calibration=[
            CalibrationBin(
                low=k / 10,
                high=(k + 1) / 10,
                detections=int(count) if k != 3 else 0,
                right=int(count * part) if k != 3 else 0,
                score=(k + 0.5) / 10 if k != 3 else None,
            )
            for k, (count, part) in enumerate(zip(bins, right, strict=True))
        ],
        calibration_error=0.0834,
        sizes=[
            SizeReport(name="small", low=0, high=32**2, objects=1204, AP=0.182, AR100=0.31),
            SizeReport(name="medium", low=32**2, high=96**2, objects=4410, AP=0.405, AR100=0.57),
            SizeReport(name="large", low=96**2, high=None, objects=6418, AP=0.534, AR100=0.684),
        ],
        data=DataFacts(
            source="data/VOC2007",
            split="test",
            images=4952,
            empty=12,
            objects=14976,
            crowds=0,
            difficult=2944,
            sides=Histogram(
                edges=[0, 8, 16, 32, 48, 64, 96, 128, 192, 256, 512],
                counts=rng.integers(0, 3000, 10).tolist(),
            ),
            per_picture=Histogram(
                edges=[0, 1, 2, 3, 4, 6, 8, 12, 50], counts=[12, 2000, 1200, 700, 500, 300, 200, 40]
            ),
            oddities=["3 boxes are wider than their pictures"],
        ),
        proposal_recall={"AR100": 0.5214, "AR100l": None, "AR300": 0.5911},
        training=training(rng),
        pictures=drawn,
        comparisons=[
            Comparison(
                name="outputs/<other>",
                differences=[
                    difference("AP", 0.4312, 0.4188, 0.0093),
                    difference("AP50", 0.7284, 0.7301, 0.0082),
                    difference("AP75", 0.4551, 0.4745, 0.0121),
                ],
                per_class={one.name: (one.AP, share(rng)) for one in reports},
            )
        ],
        notes=["2,944 difficult objects are neither right nor wrong."],
        next_steps=[
            "Small objects fall behind: larger pictures, `data.shorter_sides=[800]`.",
            "The AP of the validations still rises: `python tools/train_net.py "
            "data.root=... resume=true schedule.rules.iterations=18000`",
        ],
    )


def build_empty_report() -> Report:
    """Of a data set without pictures: no number can be had."""
    nothing = Histogram(edges=[0, 1], counts=[0])
    return Report(
        title="Nothing",
        facts={},
        numbers={},
        score=0.0,
        precision=None,
        recall=None,
        classes=[],
        curves=[],
        confusion=None,
        errors=[],
        calibration=[],
        calibration_error=None,
        sizes=[],
        data=DataFacts(
            source="",
            split="",
            images=0,
            empty=0,
            objects=0,
            crowds=0,
            difficult=0,
            sides=nothing,
            per_picture=nothing,
            oddities=[],
        ),
    )


@pytest.fixture(scope="session")
def example_report() -> Callable[..., Report]:
    """:func:`build_report`."""
    return build_report


@pytest.fixture(scope="session")
def empty_report() -> Report:
    return build_empty_report()
