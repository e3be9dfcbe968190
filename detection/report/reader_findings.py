"""What the readers of a data set repaired and refused, and the pictures that it is about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detection.data.dataset import DetectionDataset, Example
from detection.report.data_content import Finding, Place

# Of one kind, how many cases the page lists.
LISTED = 100
REFUSED = "refused: training on this split ends with it"
Key = tuple[str, int]  # (split, number of the example)
_WORD = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class SplitFindings:
    """``refused``: the reader's faults, as :func:`detection.data.findings.collected` has them."""

    split: str
    dataset: DetectionDataset | None
    refused: list[str]

    def kinds(self) -> Iterable[tuple[bool, str, int, Sequence[str]]]:
        """(is it refused, kind, count, cases)."""
        if self.refused:
            yield True, REFUSED, len(self.refused), self.refused
        for odd in self.dataset.oddities if self.dataset is not None else ():
            yield False, odd.kind, odd.count, (odd.example, *odd.others)


class NamedPictures:
    """Which pictures a text names, by the name of the picture or of its annotation."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._plain: dict[str, list[int]] = {}
        self._odd: list[tuple[str, int]] = []
        for number, example in enumerate(examples):
            stem = example.path.stem
            if _WORD.fullmatch(stem):
                self._plain.setdefault(stem, []).append(number)
            else:  # a name with blanks is no word
                self._odd.append((f"{stem}.", number))

    def __call__(self, text: str) -> list[int]:
        words = (word.strip(".") for word in _WORD.findall(text))
        stems = dict.fromkeys(word.rpartition(".")[0] for word in words if "." in word)
        found = [number for stem in stems for number in self._plain.get(stem, ())]
        return found + [number for name, number in self._odd if name in text]


def named_in(splits: Iterable[SplitFindings], named: Mapping[str, NamedPictures]) -> Counter[Key]:
    """Picture -> how many cases of the findings name it."""
    return Counter(
        (one.split, number)
        for one in splits
        if one.split in named
        for _, _, _, cases in one.kinds()
        for case in cases
        for number in named[one.split](case)
    )


def findings(
    splits: Iterable[SplitFindings],
    named: Mapping[str, NamedPictures],
    shown: Mapping[Key, int],
) -> list[Finding]:
    """``shown``: picture -> its number on the page."""

    def place(split: str, text: str) -> Place:
        numbers = named[split](text) if split in named else []
        pictures = [shown[split, number] for number in numbers if (split, number) in shown]
        return Place(text=text, picture=pictures[0] if pictures else None)

    return [
        Finding(
            split=one.split,
            is_refused=refused,
            kind=kind,
            count=count,
            places=[place(one.split, case) for case in cases[:LISTED]],
        )
        for one in splits
        for refused, kind, count, cases in one.kinds()
    ]
