"""What a detector does wrong, class by class, picture by picture (after TIDE, Bolya et al. 2020).

All at an IoU of 0.5, and at the one score at which F1 over all classes is highest: below it
detections are many, and nobody would look at them.

A detection that finds no object of its class is, in this order: a duplicate (of an object that a
surer one has found), confused (on an object of another class), misplaced (it overlaps an object of
its class by 0.1 ... 0.5), or on background.  An object that is not found was confused (a detection
of another class lies on it), misplaced, or missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import (
    Detection,
    DetectionArrays,
    GroundTruth,
    Objects,
    detection_arrays,
    object_arrays,
)

FOUND_IOU = 0.5
TOUCHED_IOU = 0.1
# Of its picture: 32 x 32 pixels, COCO's "small", in one of 640 x 480.
SMALL_SHARE = 1 / 300
# The score from which on detections are looked at where none is right.
NONE_RIGHT = 0.5


@dataclass
class ClassMistakes:
    """One class, in numbers of objects and of detections.

    ``objects``: those to be found, ``found`` of them, in ``pictures``.
    ``small``: the objects that cover less than :data:`SMALL_SHARE` of their picture (none where its
    size is not known), ``small_found`` of them.
    ``confused``: objects that were taken for another class, by its name.
    ``misplaced``, ``missed``: objects.
    ``taken_for_it``: objects of other classes on which this one was detected, by their name.
    ``duplicates``, ``background``: detections.
    """

    objects: int = 0
    pictures: int = 0
    found: int = 0
    small: int = 0
    small_found: int = 0
    confused: Counter[str] = field(default_factory=Counter)
    misplaced: int = 0
    missed: int = 0
    taken_for_it: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    background: int = 0


@dataclass(frozen=True)
class Mistakes:
    """``score``: from which on detections are looked at; :data:`NONE_RIGHT` where none is right.

    ``per_class``: by name.  ``per_picture``: image id -> the number of objects that were not found
    and of detections that are wrong; a confused object and the detection on it are one.
    """

    score: float
    per_class: dict[str, ClassMistakes]
    per_picture: dict[int, int]

    @property
    def any_right(self) -> bool:
        return any(one.found for one in self.per_class.values())

    def worst_pictures(self, number: int) -> list[int]:
        """The ids of the pictures with the most mistakes, none without one."""
        wrong = [image for image, mistakes in self.per_picture.items() if mistakes]
        return sorted(wrong, key=lambda image: (-self.per_picture[image], image))[:number]


def find_mistakes(ground_truth: GroundTruth, detections: Sequence[Detection]) -> Mistakes:
    """The mistakes of ``detections``; both are as :mod:`detection.evaluation.coco_arrays` says."""
    objects = object_arrays(ground_truth)
    found = detection_arrays(detections, objects)
    pictures = [
        _Picture(objects, found, of_objects, of_found)
        for of_objects, of_found in zip(
            _by_picture(objects.images, len(objects.image_index)),
            _by_picture(found.images, len(objects.image_index)),
            strict=True,
        )
    ]
    score = _best_score(pictures, sum(objects.count()))
    images = sorted(ground_truth["images"], key=lambda image: image["id"])
    areas = [image.get("width", 0) * image.get("height", 0) for image in images]
    per_class = {name: ClassMistakes() for name in objects.class_names}
    per_picture = {
        image_id: picture.count(score, per_class, objects.class_names, area)
        for image_id, picture, area in zip(objects.image_index, pictures, areas, strict=True)
    }
    return Mistakes(score, per_class, per_picture)


def _by_picture(images: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
    """For each picture the positions of its rows, in their order."""
    order = np.argsort(images, kind="stable")
    ends = np.searchsorted(images[order], np.arange(1, number))
    return np.split(order, ends)


class _Picture:
    """The objects and the detections of one picture, highest score first, and who found whom."""

    def __init__(
        self,
        objects: Objects,
        found: DetectionArrays,
        of_objects: NDArray[np.int64],
        of_found: NDArray[np.int64],
    ) -> None:
        of_found = of_found[np.argsort(-found.scores[of_found], kind="stable")]
        self.scores, self.labels = found.scores[of_found], found.classes[of_found]
        self.wanted = objects.classes[of_objects]
        self.areas = objects.areas[of_objects]
        crowd = objects.crowd[of_objects]
        self.ignored = crowd | objects.difficult[of_objects]
        self.overlaps = _overlaps(found.boxes[of_found], objects.boxes[of_objects], crowd)  # [D, G]
        # Which object each detection has found; -1: none.
        self.finds = np.full(len(self.scores), -1)
        free = ~self.ignored
        same = self.labels[:, None] == self.wanted[None]
        for number, overlaps in enumerate(np.where(same, self.overlaps, 0.0)):
            fitting = np.where(free, overlaps, 0.0)
            if fitting.size and fitting.max() >= FOUND_IOU:
                self.finds[number] = fitting.argmax()
                free[fitting.argmax()] = False
        on_ignored = (same & self.ignored & (self.overlaps >= FOUND_IOU)).any(axis=1)
        # Neither right nor wrong.
        self.uncounted = on_ignored & (self.finds < 0)

    def count(
        self, score: float, classes: dict[str, ClassMistakes], names: Sequence[str], area: int
    ) -> int:
        """Adds what is wrong from ``score`` on to ``classes``; returns how much that is."""
        found, confused, misplaced = set[int](), dict[int, int](), set[int]()
        mistakes = 0
        for number in np.flatnonzero((self.scores >= score) & ~self.uncounted).tolist():
            own = classes[names[self.labels[number]]]
            if self.finds[number] >= 0:
                found.add(int(self.finds[number]))
                continue
            same = self.wanted == self.labels[number]
            on_same = np.where(same & ~self.ignored, self.overlaps[number], 0.0)
            on_other = np.where(~same & ~self.ignored, self.overlaps[number], 0.0)
            if on_same.max(initial=0.0) >= FOUND_IOU:
                own.duplicates += 1
                mistakes += 1
            elif on_other.max(initial=0.0) >= FOUND_IOU:
                other = int(on_other.argmax())
                own.taken_for_it[names[self.wanted[other]]] += 1
                mistakes += other in confused
                confused.setdefault(other, int(self.labels[number]))
            elif on_same.max(initial=0.0) >= TOUCHED_IOU:
                misplaced.add(int(on_same.argmax()))
                mistakes += 1
            else:
                own.background += 1
                mistakes += 1
        for label in np.unique(self.wanted[~self.ignored]):
            classes[names[label]].pictures += 1
        for number in np.flatnonzero(~self.ignored).tolist():
            own = classes[names[self.wanted[number]]]
            is_small = bool(self.areas[number] < SMALL_SHARE * area)
            own.objects += 1
            own.small += is_small
            if number in found:
                own.found += 1
                own.small_found += is_small
                mistakes += number in confused
                continue
            mistakes += number not in misplaced  # that is counted with its detection
            if number in confused:
                own.confused[names[confused[number]]] += 1
            elif number in misplaced:
                own.misplaced += 1
            else:
                own.missed += 1
        return mistakes


def _overlaps(
    found: NDArray[np.float64], wanted: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of boxes (x, y, width, height); of a crowd the share of the detection, as COCO has it."""
    if not len(found) or not len(wanted):
        return np.zeros((len(found), len(wanted)))
    return np.asarray(pycocotools.mask.iou(found, wanted, crowd.astype(np.uint8)))


def _best_score(pictures: Sequence[_Picture], num_objects: int) -> float:
    """The score at which F1 of all detections from it on is highest.

    Matching begins with the highest scores, so that it need not be repeated.
    """
    counted = [~picture.uncounted for picture in pictures]
    scores = np.concatenate([p.scores[c] for p, c in zip(pictures, counted, strict=True)])
    right = np.concatenate([p.finds[c] >= 0 for p, c in zip(pictures, counted, strict=True)])
    if not right.any():
        return NONE_RIGHT
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order].cumsum()
    f1 = 2 * right / (np.arange(1, len(scores) + 1) + num_objects)
    # Of equal scores all are taken.
    last = np.append(scores[1:] < scores[:-1], True)
    return float(scores[last][f1[last].argmax()])
