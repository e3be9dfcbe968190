"""One picture's objects and detections: who found whom, and how each detection ended (TIDE).

At an IoU of 0.5.  A detection that finds no object of its class is, in this order: a duplicate (of
an object that a surer one has found), confused (on an object of another class), misplaced (it
overlaps an object of its class by 0.1 ... 0.5), both (the same with another class), or on
background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import DetectionArrays, Objects

FOUND_IOU = 0.5
TOUCHED_IOU = 0.1
# Pairs of a detection and an object that are in memory at once, at about 40 bytes each: dense
# pictures have thousands of both.
PAIRS_AT_ONCE = 1_000_000

DetectionVerdict = Literal[
    "right", "duplicate", "confused", "misplaced", "both", "background", "uncounted"
]
ObjectVerdict = Literal["found", "confused", "misplaced", "missed", "uncounted"]


@dataclass(frozen=True)
class OperatingPoint:
    """Of the detections from ``score`` on, ``precision`` are right; ``recall`` of the objects are
    found by them.  Both in [0, 1].
    """

    score: float
    precision: float
    recall: float


@dataclass(frozen=True)
class CountedDetections:
    """Of all pictures: ``scores``, ``labels``; ``right``: bool.  All [N]."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    right: NDArray[np.bool_]


class PictureMatches:
    """The objects (G) and the detections (D) of one picture, highest score first.

    ``scores``, ``labels``, ``boxes``: of the detections; ``verdicts``: a DetectionVerdict of each;
    ``counted``: [D], whether a detection is right or wrong.
    ``about``: [D], the object that it finds, duplicates, is confused with or misplaced of; else -1.
    ``wanted``: [G], the objects' classes; ``ignored``: [G], crowds and difficult ones;
    ``object_boxes``: [G, 4].
    Classes are numbers of :class:`Objects`, boxes (x, y, width, height).
    """

    def __init__(
        self,
        objects: Objects,
        found: DetectionArrays,
        of_objects: NDArray[np.int64],
        of_found: NDArray[np.int64],
    ) -> None:
        of_found = of_found[np.argsort(-found.scores[of_found], kind="stable")]
        self.scores, self.labels = found.scores[of_found], found.classes[of_found]
        self.boxes = found.boxes[of_found]
        self.wanted = objects.classes[of_objects]
        self.areas = objects.areas[of_objects]
        self.object_boxes = objects.boxes[of_objects]
        crowd = objects.crowd[of_objects]
        self.ignored = crowd | objects.difficult[of_objects]
        count, objects_here = len(self.scores), len(self.wanted)
        finds, same_at, other_at = np.full((3, count), -1)
        is_same, is_other = np.zeros((2, count))
        on_ignored = np.zeros(count, dtype=bool)
        free = np.ones(objects_here)
        rows = max(1, PAIRS_AT_ONCE // max(1, objects_here))
        for part in (slice(first, first + rows) for first in range(0, count, rows)):
            overlaps = _overlaps(self.boxes[part], self.object_boxes, crowd)  # [D, G]
            same = self.labels[part, None] == self.wanted[None]
            on_same = np.where(same & ~self.ignored, overlaps, 0.0)
            on_other = np.where(~same & ~self.ignored, overlaps, 0.0)
            finds[part] = _greedy(on_same, free)
            on_ignored[part] = (same & self.ignored & (overlaps >= FOUND_IOU)).any(axis=1)
            is_same[part] = on_same.max(axis=1, initial=0.0)
            is_other[part] = on_other.max(axis=1, initial=0.0)
            if objects_here:
                same_at[part], other_at[part] = on_same.argmax(axis=1), on_other.argmax(axis=1)
        kinds: dict[str, NDArray[np.bool_]] = {
            "right": finds >= 0,
            "uncounted": on_ignored,
            "duplicate": is_same >= FOUND_IOU,
            "confused": is_other >= FOUND_IOU,
            "misplaced": is_same >= TOUCHED_IOU,
            "both": is_other >= TOUCHED_IOU,
        }
        self.verdicts = np.select(list(kinds.values()), [*kinds], "background")
        self.counted = np.asarray(self.verdicts != "uncounted")
        self.about = np.full(len(self.scores), -1)
        if len(self.wanted):
            of_same = np.isin(self.verdicts, ("duplicate", "misplaced"))
            of_other = np.isin(self.verdicts, ("confused", "both"))
            self.about = np.where(of_same, same_at, finds)
            self.about = np.where(of_other, other_at, self.about)

    def objects_at(self, score: float) -> Iterator[tuple[ObjectVerdict, int | None]]:
        """How each object ends with the detections from ``score`` on, and what it is taken for."""
        seen = self.scores >= score
        found, misplaced = (
            set(self.about[seen & (self.verdicts == kind)].tolist())
            for kind in ("right", "misplaced")
        )
        confused = self.confused_at(score)
        for number, is_ignored in enumerate(self.ignored.tolist()):
            if is_ignored:
                yield "uncounted", None
            elif number in found:
                yield "found", None
            elif number in confused:
                yield "confused", confused[number]
            else:
                yield "misplaced" if number in misplaced else "missed", None

    def confused_at(self, score: float) -> dict[int, int]:
        """Object -> the class of the surest detection that takes it for another one."""
        confused: dict[int, int] = {}
        for number in np.flatnonzero((self.scores >= score) & (self.verdicts == "confused")):
            confused.setdefault(int(self.about[number]), int(self.labels[number]))
        return confused


def match_pictures(objects: Objects, found: DetectionArrays) -> list[PictureMatches]:
    """Every picture's, in the order of their numbers."""
    number = len(objects.image_index)
    return [
        PictureMatches(objects, found, of_objects, of_found)
        for of_objects, of_found in zip(
            _by_picture(objects.images, number), _by_picture(found.images, number), strict=True
        )
    ]


def counted_detections(pictures: Sequence[PictureMatches]) -> CountedDetections:
    """Those that are right or wrong."""
    verdicts = np.concatenate([p.verdicts[p.counted] for p in pictures])
    return CountedDetections(
        scores=np.concatenate([p.scores[p.counted] for p in pictures]),
        labels=np.concatenate([p.labels[p.counted] for p in pictures]),
        right=np.asarray(verdicts == "right"),
    )


def best_f1(
    detections: CountedDetections, num_objects: int, label: int | None = None
) -> OperatingPoint | None:
    """The score from which on F1 of all detections, or those of ``label``, is highest.

    None where none of them is right.
    Matching begins with the highest scores, so that it need not be repeated.
    """
    scores, right = detections.scores, detections.right
    if label is not None:
        own = detections.labels == label
        scores, right = scores[own], right[own]
    if not right.any():
        return None
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], right[order].cumsum()
    f1 = 2 * found / (np.arange(1, len(scores) + 1) + num_objects)
    # Of equal scores all are taken.
    last = np.append(scores[1:] < scores[:-1], True)
    best = np.flatnonzero(last)[f1[last].argmax()]
    return OperatingPoint(
        score=float(scores[best]),
        precision=float(found[best] / (best + 1)),
        recall=float(found[best] / num_objects),
    )


def at_score(
    detections: CountedDetections, num_objects: int, score: float
) -> OperatingPoint | None:
    """None where no detection has the score, or there is no object."""
    seen = detections.scores >= score
    right = int(detections.right[seen].sum())
    if not seen.any() or not num_objects:
        return None
    return OperatingPoint(score, precision=right / int(seen.sum()), recall=right / num_objects)


def _greedy(overlaps: NDArray[np.float64], free: NDArray[np.float64]) -> NDArray[np.int64]:
    """[D]: the object that each detection finds, the surest first; -1: none.  [D, G] overlaps.

    ``free``: [G], 1.0 for each object that nothing has found yet; those that are found become 0.0.
    """
    finds = np.full(len(overlaps), -1)
    for number in np.flatnonzero((overlaps >= FOUND_IOU).any(axis=1)).tolist():
        fitting = overlaps[number] * free
        best = fitting.argmax()
        if fitting[best] >= FOUND_IOU:
            finds[number] = best
            free[best] = 0.0
    return finds


def _by_picture(images: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
    """For each picture the positions of its rows, in their order."""
    order = np.argsort(images, kind="stable")
    ends = np.searchsorted(images[order], np.arange(1, number))
    return np.split(order, ends)


def _overlaps(
    found: NDArray[np.float64], wanted: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of boxes (x, y, width, height); of a crowd the share of the detection, as COCO has it."""
    if not len(found) or not len(wanted):
        return np.zeros((len(found), len(wanted)))
    return np.asarray(pycocotools.mask.iou(found, wanted, crowd.astype(np.uint8)))
