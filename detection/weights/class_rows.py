"""A detector's layers that depend on the classes: their rows move to other classes by name.

Rows of a class that both detectors know are kept bit for bit, wherever they stand.  Those of a
class that is new keep the values that the model begins with.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.model.faster_rcnn import FasterRCNN

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClassMatch:
    """``known``: index of a class in the model -> its index in the file; both from 0.

    ``renamed``: (the file's name, the model's) of those that are the same but for case, blanks,
    ``_`` and ``-``.  ``new``: those that the file does not know; ``unused``: the file's others.
    ``unclear``: (the file's names, the model's) that would be the same but for that, where there is
    a choice; they are among ``unused`` and ``new``.
    """

    known: dict[int, int]
    renamed: tuple[tuple[str, str], ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    unclear: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()

    @property
    def same(self) -> bool:
        """Whether both have the same classes in the same order."""
        in_place = all(ours == theirs for ours, theirs in self.known.items())
        return in_place and not self.new and not self.unused

    def __str__(self) -> str:
        """In one line, with the numbers."""
        moved = "" if all(i == j for i, j in self.known.items()) else ", some in another place"
        parts = [f"{len(self.known)} of its classes are kept{moved}"]
        if self.renamed:
            pairs = [f"{theirs!r} as {ours!r}" for theirs, ours in self.renamed]
            parts.append(f"{len(self.renamed)} of them written otherwise ({_some(pairs)})")
        if self.new:
            parts.append(f"{len(self.new)} new ones start anew ({_some(self.new)})")
        for theirs, ours in self.unclear:
            names = " or ".join(map(repr, theirs)), " or ".join(map(repr, ours))
            parts.append(f"which of {names[0]} is {names[1]} cannot be told")
        if self.unused:
            parts.append(f"{len(self.unused)} of its are not used ({_some(self.unused)})")
        return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def match_classes(theirs: Sequence[str], ours: Sequence[str]) -> ClassMatch:
    """The classes of a file, ``theirs``, in those of a model, by name.

    Equal names first; then those that differ in case, blanks, ``_`` and ``-`` alone, where that
    leaves no choice.  Of a name that one of the two has twice nothing is known.
    """
    known = {
        index: theirs.index(name)
        for index, name in enumerate(ours)
        if theirs.count(name) == 1 == ours.count(name)
    }
    left = _by_plain_name(ours, taken=set(known))
    free = _by_plain_name(theirs, taken=set(known.values()))
    renamed, unclear = [], []
    for plain in left.keys() & free.keys():
        new, old = left[plain], free[plain]
        if len(new) == 1 == len(old):
            known[new[0]] = old[0]
            renamed.append((theirs[old[0]], ours[new[0]]))
        else:
            unclear.append((tuple(theirs[i] for i in old), tuple(ours[i] for i in new)))
    used = set(known.values())
    return ClassMatch(
        known=known,
        renamed=tuple(sorted(renamed, key=lambda pair: ours.index(pair[1]))),
        new=tuple(name for index, name in enumerate(ours) if index not in known),
        unused=tuple(name for index, name in enumerate(theirs) if index not in used),
        unclear=tuple(sorted(unclear)),
    )


def _by_plain_name(names: Sequence[str], *, taken: Collection[int]) -> dict[str, list[int]]:
    """Plain name -> the places that have it, without those ``taken``."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if index not in taken and (plain := _plain(name)):
            found.setdefault(plain, []).append(index)
    return found


def _plain(name: str) -> str:
    """In small letters, one blank between words, without marks that are not seen.

    A ``-`` in front of a number is a sign: -1 is not 1.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    seen = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)|_", " ", seen).strip()


def move_rows(
    given: Checkpoint, model: FasterRCNN, match: ClassMatch, *, source: Path
) -> dict[str, Tensor]:
    """``given``'s weights with the rows of ``model``'s classes, in ``model``'s order.

    Raises ValueError if a layer that depends on the classes does not have equal rows for each.
    """
    if match.same:
        return given.weights
    one, more = (_head_shapes(given, model, len(given.class_names) + i) for i in (0, 1))
    fresh = model.state_dict()
    weights = dict(given.weights)
    for name in one.keys() & weights.keys() & fresh.keys():
        per_class = more[name][0] - one[name][0] if one[name] else 0
        if per_class and fresh[name].shape[1:] == weights[name].shape[1:]:
            weights[name] = _moved(
                weights[name], fresh[name], per_class, match, f"{source}: {name}"
            )
    return weights


def _head_shapes(given: Checkpoint, model: FasterRCNN, classes: int) -> dict[str, torch.Size]:
    """The shapes of the head's layers that depend on the classes, if it had ``classes`` of them."""
    channels = model.backbone.region_channels * (2 if model.has_context else 1)
    package = type(model.roi_head).__module__.partition(".")[0]  # it is running already
    factory = build(given.model_config["roi_head"], trust=[package])
    with torch.device("meta"):  # the shapes are enough
        head = factory(in_channels=channels, num_classes=classes)
    assert isinstance(head, nn.Module)
    prefixes = tuple(f"{layer}." for layer in model.roi_head.class_layers)
    return {
        f"roi_head.{name}": value.shape
        for name, value in head.state_dict().items()
        if name.startswith(prefixes)
    }


def _moved(theirs: Tensor, fresh: Tensor, per_class: int, match: ClassMatch, shown: str) -> Tensor:
    """``per_class``: rows for each class; the others, of the background, stand first."""
    classes = {
        "the file": len(match.known) + len(match.unused),
        "the model": len(match.known) + len(match.new),
    }
    first = len(theirs) - per_class * classes["the file"]
    if first < 0 or first != len(fresh) - per_class * classes["the model"]:
        raise ValueError(
            f"{shown} has {len(theirs)} rows in the file and {len(fresh)} in the model, which are "
            f"not {per_class} for each of {classes['the file']} and {classes['the model']} classes"
        )
    moved = fresh.clone()
    moved[:first] = theirs[:first]
    for ours, other in match.known.items():
        start, old = first + per_class * ours, first + per_class * other
        moved[start : start + per_class] = theirs[old : old + per_class]
    return moved
