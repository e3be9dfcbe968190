"""What a report says: numbers, curves, mistakes and pictures, before anybody draws a page of them.

Plain values, that JSON can hold (:func:`dataclasses.asdict`).  Shares, precision, recall and AP
are in [0, 1]; boxes are (x1, y1, x2, y2) in pixels of the picture, as :mod:`detection.boxes` says.
None is a number that cannot be had: of no objects, say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# How a detection, or an object, ended at an IoU of 0.5 (Bolya et al., TIDE, 2020).
Verdict = Literal[
    "right",  # a detection on an object of its class
    "confused",  # class: on an object of another class
    "misplaced",  # place: it overlaps an object of its class, by less than 0.5
    "both",  # another class, and misplaced
    "duplicate",  # of an object that a surer detection has found
    "background",  # on nothing
    "found",  # an object that a detection is right about
    "missed",  # an object that none is
    "uncounted",  # crowds, difficult objects, and detections on them
]
# Why a picture is in the gallery.
Choice = Literal["most mistakes", "missed objects", "random"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its 95 % interval (bootstrap over the pictures), None where none was asked."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision against recall at one IoU: ``precision`` is COCO's, at 101 levels of ``recall``.

    ``score``: the least of the detections that reach each level; None beyond, and of means.
    """

    iou: float
    recall: list[float]
    precision: list[float]
    score: list[float | None]


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """One class.

    ``objects``: to be found, in ``pictures``.  ``learnt_from``: boxes of the training set.
    ``threshold``: the score of the class's best F1, suggested for use; ``precision`` and ``recall``
    from there on, at an IoU of 0.5.  ``found`` ... ``background``: at the report's one score;
    ``confused``: class -> objects of this one that were taken for it.
    """

    name: str
    objects: int
    pictures: int
    learnt_from: int | None
    AP: float | None
    AP50: float | None
    AP75: float | None
    voc_AP: float | None
    threshold: float | None
    precision: float | None
    recall: float | None
    found: int
    missed: int
    misplaced: int
    duplicates: int
    both: int
    background: int
    confused: dict[str, int]
    curves: list[Curve]
    reasons: list[str]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """``counts[row][column]``: objects of class ``names[row]`` taken for ``names[column]``.

    The last row is the background (detections on nothing), the last column what was not found;
    ``names`` lists neither.  From ``score`` on, at ``iou``.
    """

    names: list[str]
    counts: list[list[int]]
    score: float
    iou: float


@dataclass(frozen=True, kw_only=True)
class ErrorType:
    """One of TIDE's six; ``number``: of detections, of "missed" objects; ``AP50_lost``: to it."""

    name: Literal["class", "place", "both", "duplicate", "background", "missed"]
    number: int
    AP50_lost: float


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Detections with scores in [``low``, ``high``): ``right`` of them; ``score``: their mean."""

    low: float
    high: float
    detections: int
    right: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """Objects of COCO's small, medium and large: areas from ``low`` to ``high`` square pixels."""

    name: str
    low: float
    high: float | None
    objects: int
    AP: float | None
    AR100: float | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of the training's curves: ``values`` at ``iterations``."""

    name: str
    iterations: list[int]
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class Training:
    """``losses``, ``rate``, ``validation`` (AP by name); ``best``: the best's iteration."""

    losses: list[Series]
    rate: Series
    validation: list[Series]
    best: int | None


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """``counts[i]``: values in [``edges[i]``, ``edges[i + 1]``)."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What was measured on.  ``sides``: roots of box areas; ``per_picture``: objects in each."""

    source: str
    split: str
    images: int
    empty: int
    objects: int
    crowds: int
    difficult: int
    sides: Histogram
    per_picture: Histogram
    oddities: list[str]


@dataclass(frozen=True, kw_only=True)
class DrawnBox:
    """``score``: None of an object.  ``other``: of a confused one, the other class's name."""

    name: str
    box: tuple[float, float, float, float]
    verdict: Verdict
    score: float | None = None
    other: str | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """``width``, ``height``: of the file.  ``jpeg``: a smaller copy of it, base64.

    Verdicts hold at the report's one score; of a detection below it one says what it would be.
    """

    file_name: str
    width: int
    height: int
    jpeg: str
    choice: Choice
    mistakes: int
    objects: list[DrawnBox]
    detections: list[DrawnBox]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """This run's minus the other's.  ``significant``: 0 is outside the interval."""

    name: str
    this: float | None
    other: float | None
    difference: Estimate
    significant: bool | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Another run, on the same pictures; ``per_class``: class -> (AP of this, AP of the other)."""

    name: str
    differences: list[Difference]
    per_class: dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """``facts``: name -> what was tested, with what, when, in how many seconds: for people.

    ``numbers``: COCO's twelve and VOC's two by their names; AP, AP50 and AP75 with intervals.
    ``score``: the one of the best F1 over all classes, at which mistakes are counted.
    ``proposal_recall``: name -> recall of the RPN, where it was measured.
    ``next_steps``: what may help, and commands.
    """

    title: str
    facts: dict[str, str]
    numbers: dict[str, Estimate]
    score: float
    precision: float | None
    recall: float | None
    classes: list[ClassReport]
    curves: list[Curve]
    confusion: Confusion | None
    errors: list[ErrorType]
    calibration: list[CalibrationBin]
    calibration_error: float | None
    sizes: list[SizeReport]
    data: DataFacts
    proposal_recall: dict[str, float | None] = field(default_factory=dict)
    training: Training | None = None
    pictures: list[Picture] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)
