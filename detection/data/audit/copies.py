"""Pictures that a data set has more than once: in one split, or, worse, in two."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.data.audit.pictures import Picture
from detection.data.audit.remarks import Remarks
from detection.data.near_duplicates import COPY_BITS, MOST_PICTURES, distance, hash_of

# Mean difference of two thumbnails, of 255 levels: hashes of plain pictures agree by chance.
_LEVELS = 6.0
# The correlation of two thumbnails from which on one is the other with more light or contrast; and
# how much, in levels, a picture must differ within itself for that to say something.
_CORRELATED, _CONTRAST = 0.98, 20.0

# Split -> path -> what was found.
Looked = Mapping[str, Mapping[Path, Picture]]


def audit_copies(entries: Mapping[str, Sequence[Path]], looked: Looked, remarks: Remarks) -> None:
    """``entries``: the pictures of each split, in its order."""
    for split, paths in entries.items():
        for path, times in Counter(paths).items():
            if times > 1:
                remarks.add("same-entry", split, f"{path.name}, {times} times")
        for same in _by_digest(looked[split].values()).values():
            if len(same) > 1:
                names = " and ".join(str(picture.path.name) for picture in same)
                remarks.add("same-file", split, names)
    for first, second in combinations(entries, 2):
        _between(first, second, looked, remarks)


def _by_digest(pictures: Iterable[Picture]) -> dict[bytes, list[Picture]]:
    found: dict[bytes, list[Picture]] = defaultdict(list)
    for picture in pictures:
        if picture.size is not None:
            found[picture.digest].append(picture)
    return found


def _between(first: str, second: str, looked: Looked, remarks: Remarks) -> None:
    both = f"{first}, {second}"
    here, there = _by_digest(looked[first].values()), _by_digest(looked[second].values())
    for digest in here:
        if digest in there:
            remarks.add("leak", both, f"{here[digest][0].path} and {there[digest][0].path}")
    ones = _comparable(looked[first], without=there)
    others = _comparable(looked[second], without=here)
    if len(ones) + len(others) > MOST_PICTURES:
        remarks.add("not-compared", both, f"{len(ones) + len(others)}, at most {MOST_PICTURES}")
        return
    if not others:
        return
    hashes = np.array([picture.hash for picture in others], dtype=np.uint64)
    for picture in ones:
        assert picture.thumbnail is not None
        seen = (picture.hash, picture.thumbnail, ""), _mirrored(picture.thumbnail)
        for own, thumbnail, how in seen:
            near = distance(np.array([own], dtype=np.uint64), hashes) <= COPY_BITS
            for index in np.flatnonzero(near):
                if _are_alike(others[index].thumbnail, thumbnail):
                    place = f"{picture.path.name} and {others[index].path.name}{how}"
                    remarks.add("near-leak", both, place)


def _mirrored(thumbnail: NDArray[np.uint8]) -> tuple[int, NDArray[np.uint8], str]:
    turned = np.ascontiguousarray(thumbnail[:, ::-1])
    return hash_of(turned), turned, ", mirrored"


def _are_alike(one: NDArray[np.uint8] | None, other: NDArray[np.uint8]) -> bool:
    """Of two thumbnails: the same picture, or the same with other light."""
    assert one is not None
    first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    if np.abs(first - second).mean() <= _LEVELS:
        return True
    if min(first.std(), second.std()) < _CONTRAST:
        return False
    return bool(np.corrcoef(first, second)[0, 1] >= _CORRELATED)


def _comparable(
    pictures: Mapping[Path, Picture], *, without: Mapping[bytes, object]
) -> list[Picture]:
    """Those that look like something, and are no exact copies."""
    return [
        picture
        for picture in pictures.values()
        if picture.thumbnail is not None and not picture.is_plain and picture.digest not in without
    ]
