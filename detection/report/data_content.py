"""What the page of a data set says: counts, what its reader found, pictures, mini-batches.

Plain values, that JSON can hold (:func:`dataclasses.asdict`).  Boxes are (x1, y1, x2, y2) in pixels
of their picture, as :mod:`detection.boxes` says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from detection.report.content import Histogram

# Of COCO, by the area.
Size = Literal["small", "medium", "large"]
# What a box is, where the page's colours say it.
Kind = Literal[
    "object",  # of a mini-batch: an anchor reaches it, or none was asked about
    "unreached",  # no positive anchor is matched to it
    "ignored",  # neither foreground nor background
    "anchor",  # a positive one that was sampled
    "positive",  # a sampled region, foreground
    "negative",  # a sampled region, background
]


@dataclass(frozen=True, kw_only=True)
class ShownBox:
    """``flags``: crowd, difficult, ignored, left out.  ``note``: what else there is to say.

    ``verdict``: of mini-batches; the page's name for a kind that has a colour and a filter.
    ``dashed``: whether it is no ordinary object.
    """

    name: str
    box: tuple[float, float, float, float]
    size: Size
    flags: list[str] = field(default_factory=list)
    note: str = ""
    dashed: bool = False
    verdict: Kind | None = None


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """``jpeg``: a copy as base64.  ``choice``: the split, or the mini-batch.  ``facts``: lines.

    ``findings``: how many of the reader's findings name it.
    """

    file_name: str
    width: int
    height: int
    jpeg: str
    choice: str
    note: str
    objects: list[ShownBox]
    anchors: list[ShownBox] = field(default_factory=list)
    regions: list[ShownBox] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    findings: int = 0


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split.  ``boxes``: all, with ``crowds``, ``difficult`` and those without ``area``."""

    name: str
    source: str
    format: str
    images: int
    empty: int
    boxes: int
    crowds: int
    difficult: int
    without_area: int


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """``boxes``, ``pictures``: of each split, in their order; ``sizes``: small, medium, large."""

    name: str
    boxes: list[int]
    pictures: list[int]
    sizes: list[int]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One case of a finding.  ``picture``: the number of the shown picture that it names."""

    text: str
    picture: int | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a reader has repaired, or refuses.  ``places``: the first of ``count``."""

    split: str
    is_refused: bool
    kind: str
    count: int
    places: list[Place]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Mini-batches as the network gets them.  ``facts``: name -> value.  ``notes``: sentences."""

    facts: dict[str, str]
    notes: list[str]
    pictures: list[ShownPicture]


@dataclass(frozen=True, kw_only=True)
class DataPage:
    """``facts``: name -> value.  ``sides``: roots of box areas; ``ratios``: width / height."""

    title: str
    facts: dict[str, str]
    splits: list[SplitFacts]
    classes: list[ClassFacts]
    sides: Histogram
    ratios: Histogram
    per_picture: Histogram
    findings: list[Finding]
    pictures: list[ShownPicture]
    notes: list[str]
    batches: Batches | None = None
