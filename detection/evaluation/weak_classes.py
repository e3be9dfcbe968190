"""The classes with the lowest AP, and why theirs is low: :mod:`detection.evaluation.mistakes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.mistakes import ClassMistakes, Mistakes

# A class with fewer boxes to learn from has few; so has one with less than a quarter of the mean.
FEW_TO_LEARN_FROM = 50
FEW_OF_THE_MEAN = 1 / 4
# An AP measured on fewer objects changes by points with each of them.
FEW_TO_MEASURE_ON = 10
# By so much less of the small objects than of the others are found, where size is a reason.
SMALL_IS_WORSE = 0.2
# A mistake is a reason where it is made for so many of the objects.
WORTH_SAYING = 0.1


@dataclass(frozen=True, kw_only=True)
class WeakClass:
    """``AP`` in [0, 1]; ``objects`` to be found, ``found`` of them; ``reasons``, the worst first.

    ``boxes``: to learn from; None: not known.  ``has_few``: too few of them.
    ``is_small``: whether small objects are found less.
    """

    name: str
    AP: float
    objects: int
    found: int
    boxes: int | None
    has_few: bool
    is_small: bool
    reasons: list[str]


def weak_classes(
    mistakes: Mistakes, coco: CocoAP, number: int, *, boxes: Mapping[str, int] | None = None
) -> list[WeakClass]:
    """The ``number`` classes with the lowest AP, the lowest first; those without objects aside.

    ``coco``: of the same detections.  ``boxes``: class -> those of the training set.
    """
    measured = [(of.AP, name) for name, of in coco.per_class.items() if of.AP is not None]
    worst = sorted(measured, key=lambda entry: entry[0])[:number]  # of equals the first ones
    return [_weak_class(name, ap, mistakes.per_class[name], boxes) for ap, name in worst]


def _weak_class(
    name: str, ap: float, own: ClassMistakes, boxes: Mapping[str, int] | None
) -> WeakClass:
    learnt = None if boxes is None else boxes.get(name, 0)
    has_few = False
    if boxes is not None and learnt is not None:
        mean = sum(boxes.values()) / max(1, len(boxes))
        has_few = learnt < FEW_TO_LEARN_FROM or learnt < FEW_OF_THE_MEAN * mean
    others, others_found = own.objects - own.small, own.found - own.small_found
    is_small = own.small == own.objects > own.found or (
        own.small > 0
        and others > 0
        and own.small_found / own.small < others_found / others - SMALL_IS_WORSE
    )
    reasons = [f"few boxes to learn from ({learnt})"] if has_few else []
    reasons += _mistakes(own)
    if is_small and others:
        reasons.append(
            f"small: {own.small_found} of {own.small} small ones found, "
            f"{others_found} of {others} others"
        )
    elif is_small:
        reasons.append("all are small")
    if own.objects < FEW_TO_MEASURE_ON:
        reasons.append(f"measured on {own.objects} alone: unsure")
    return WeakClass(
        name=name,
        AP=ap,
        objects=own.objects,
        found=own.found,
        boxes=learnt,
        has_few=has_few,
        is_small=is_small,
        reasons=reasons or ["found, but placed or ordered too loosely for a high AP"],
    )


def _mistakes(own: ClassMistakes) -> list[str]:
    """What is worth saying of them, the most frequent first."""
    found = [
        (own.missed, f"{own.missed} missed"),
        (own.misplaced, f"{own.misplaced} placed badly"),
        (own.confused.total(), f"{own.confused.total()} taken for {_most(own.confused)}"),
        (own.duplicates, f"{own.duplicates} found twice"),
        (own.background, f"{own.background} seen where there is nothing"),
        (
            own.taken_for_it.total(),
            f"{own.taken_for_it.total()} {_most(own.taken_for_it)} taken for it",
        ),
    ]
    least = max(1.0, WORTH_SAYING * own.objects)
    ordered = sorted(found, key=lambda entry: -entry[0])
    return [text for count, text in ordered if count >= least]


def _most(names: Counter[str]) -> str:
    """The name that most are of, and how many other names there are."""
    if not names:
        return ""
    name = names.most_common(1)[0][0]
    return name if len(names) == 1 else f"{name} or {len(names) - 1} other" + "s" * (len(names) > 2)


def weak_class_table(classes: Sequence[WeakClass]) -> str:
    """For people: class, AP in percent, objects, found, boxes to learn from, why."""
    learnt = any(one.boxes is not None for one in classes)
    rows = [["class", "AP", "objects", "found", *(["learnt from"] if learnt else []), "why"]]
    for one in classes:
        numbers = [f"{100 * one.AP:.1f}", str(one.objects), str(one.found)]
        rows.append([one.name, *numbers, *([str(one.boxes)] * learnt), "; ".join(one.reasons)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
