"""What a detector does wrong, class by class, picture by picture (after TIDE, Bolya et al. 2020).

All at an IoU of 0.5, and at the one score at which F1 over all classes is highest: below it
detections are many, and nobody would look at them.

How a detection ends, :mod:`detection.evaluation.picture_matches` says.  An object that is not found
was confused (a detection of another class lies on it), misplaced, or missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from detection.evaluation.coco_arrays import (
    Detection,
    GroundTruth,
    detection_arrays,
    object_arrays,
)
from detection.evaluation.picture_matches import (
    OperatingPoint,
    PictureMatches,
    at_score,
    best_f1,
    counted_detections,
    match_pictures,
)

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
    ``duplicates``, ``background``: detections; of ``background`` those that are ``both`` misplaced
    and of another class.
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
    both: int = 0


@dataclass(frozen=True)
class Mistakes:
    """``score``: from which on detections are looked at; :data:`NONE_RIGHT` where none is right.

    ``per_class``: by name.  ``per_picture``: image id -> the number of detections that are wrong,
    and of objects that are missed: one with a wrong detection on it is counted with that.
    ``matches``: image id -> who found whom there.
    """

    score: float
    per_class: dict[str, ClassMistakes]
    per_picture: dict[int, int]
    matches: dict[int, PictureMatches] = field(repr=False)

    @property
    def any_right(self) -> bool:
        return any(one.found for one in self.per_class.values())

    def best_of_classes(self) -> dict[str, OperatingPoint | None]:
        """By name, the score of the class's own best F1; None where nothing is found."""
        detections = counted_detections(list(self.matches.values()))
        return {
            name: best_f1(detections, own.objects, label) if own.objects else None
            for label, (name, own) in enumerate(self.per_class.items())
        }

    def at_score(self, score: float) -> OperatingPoint | None:
        """Of all classes together; None where no detection has the score, or there is no object."""
        detections = counted_detections(list(self.matches.values()))
        return at_score(detections, sum(own.objects for own in self.per_class.values()), score)

    def worst_pictures(self, number: int) -> list[int]:
        """The ids of the pictures with the most mistakes, none without one."""
        wrong = [image for image, mistakes in self.per_picture.items() if mistakes]
        return sorted(wrong, key=lambda image: (-self.per_picture[image], image))[:number]


def find_mistakes(ground_truth: GroundTruth, detections: Sequence[Detection]) -> Mistakes:
    """The mistakes of ``detections``; both are as :mod:`detection.evaluation.coco_arrays` says."""
    objects = object_arrays(ground_truth)
    pictures = match_pictures(objects, detection_arrays(detections, objects))
    best = best_f1(counted_detections(pictures), sum(objects.count()))
    score = NONE_RIGHT if best is None else best.score
    images = sorted(ground_truth["images"], key=lambda image: image["id"])
    areas = [image.get("width", 0) * image.get("height", 0) for image in images]
    per_class = {name: ClassMistakes() for name in objects.class_names}
    matches = dict(zip(objects.image_index, pictures, strict=True))
    per_picture = {
        image_id: _count(picture, score, per_class, objects.class_names, area)
        for (image_id, picture), area in zip(matches.items(), areas, strict=True)
    }
    return Mistakes(score, per_class, per_picture, matches)


def _count(
    picture: PictureMatches,
    score: float,
    classes: dict[str, ClassMistakes],
    names: Sequence[str],
    area: int,
) -> int:
    """Adds what is wrong from ``score`` on to ``classes``; returns how much that is."""
    mistakes = 0
    for number in np.flatnonzero((picture.scores >= score) & picture.counted).tolist():
        own = classes[names[picture.labels[number]]]
        verdict = picture.verdicts[number]
        if verdict == "confused":
            own.taken_for_it[names[picture.wanted[picture.about[number]]]] += 1
        own.duplicates += verdict == "duplicate"
        own.background += verdict in ("background", "both")
        own.both += verdict == "both"
        mistakes += verdict != "right"
    for label in np.unique(picture.wanted[~picture.ignored]):
        classes[names[label]].pictures += 1
    for number, (end, other) in enumerate(picture.objects_at(score)):
        if end == "uncounted":
            continue
        own = classes[names[picture.wanted[number]]]
        is_small = bool(picture.areas[number] < SMALL_SHARE * area)
        own.objects += 1
        own.small += is_small
        own.found += end == "found"
        own.small_found += is_small and end == "found"
        own.misplaced += end == "misplaced"
        own.missed += end == "missed"
        if other is not None:
            own.confused[names[other]] += 1
        mistakes += end == "missed"
    return mistakes
