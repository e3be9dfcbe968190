"""Which pictures of a data set are the same scene: copies, augmented copies, frames of one video.

One on either side of a split would measure what was learnt by heart.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

# Bits of 64 that may differ between copies, and between neighbouring frames of one scene.
COPY_BITS = 3
FRAME_BITS = 12
# More pictures than these are grouped by their names alone: every pair is compared.
MOST_PICTURES = 20_000


def groups_of_one_scene(paths: Sequence[Path], *, largest: int) -> list[list[int]]:
    """Indices of ``paths``, in groups that belong on one side of a split.

    Together are: augmented copies by Roboflow's names (x.rf.<hash>.jpg), pictures that look equal,
    and neighbouring numbers of one series of names that look alike.  ``largest``: a longer run
    of a series is cut into blocks of so many neighbours, or a single video could not be split.
    """
    hashes = _hashes(paths)
    parent = list(range(len(paths)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        parent[max(root(i), root(j))] = min(root(i), root(j))

    originals: dict[tuple[Path, str], int] = {}
    for index, path in enumerate(paths):
        join(index, originals.setdefault((path.parent, original_name(path.name)), index))
    for i, j in _equal_pairs(hashes):
        join(i, j)
    for series in _series(paths).values():
        run = 1
        for before, now in itertools.pairwise(series):
            alike = bool(len(hashes)) and distance(hashes[before], hashes[now]) <= FRAME_BITS
            run = run + 1 if alike and run < largest else 1
            if run > 1:
                join(before, now)
    found: dict[int, list[int]] = defaultdict(list)
    for index in range(len(paths)):
        found[root(index)].append(index)
    return list(found.values())


def original_name(name: str) -> str:
    """The name before Roboflow's augmentation: cat_jpg.rf.<hash>.jpg -> cat_jpg."""
    return re.sub(r"\.rf\.[0-9A-Za-z]+$", "", name.rpartition(".")[0] or name)


def perceptual_hash(path: Path) -> int | None:
    """64 bits: whether each of 8 x 8 cells is darker than its right neighbour; None: unreadable."""
    image = cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4)
    if image is None:
        return None
    return hash_of(image)


def hash_of(grey: cv2.typing.MatLike) -> int:
    """`perceptual_hash` of the pixels, [H, W]."""
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    bits = np.packbits(cells[:, :-1] < cells[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def _hashes(paths: Sequence[Path]) -> NDArray[np.uint64]:
    """[N]; empty where there are too many pictures.  An unreadable one resembles no other."""
    if len(paths) > MOST_PICTURES:
        return np.zeros(0, np.uint64)
    shown = tqdm(paths, unit="img", desc="looking for copies", leave=False, delay=1)
    found = [perceptual_hash(path) for path in shown]
    random = np.random.default_rng(0)
    return np.array(
        [int(random.integers(2**63)) if h is None else h for h in found], dtype=np.uint64
    )


def distance(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits differ."""
    differing = np.atleast_1d(np.bitwise_xor(first, second)).view(np.uint8)
    return np.unpackbits(differing.reshape(-1, 8), axis=1).sum(axis=1)


def _equal_pairs(hashes: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, that look equal."""
    pairs = []
    for i in range(len(hashes) - 1):
        near = np.flatnonzero(distance(hashes[i], hashes[i + 1 :]) <= COPY_BITS)
        pairs += [(i, i + 1 + int(j)) for j in near]
    return pairs


def _series(paths: Sequence[Path]) -> dict[tuple[Path, str], list[int]]:
    """Pictures whose names differ in their last number alone, in its order."""
    found: dict[tuple[Path, str], list[tuple[int, int]]] = defaultdict(list)
    for index, path in enumerate(paths):
        match = re.fullmatch(r"(.*?)(\d+)(\D*)", original_name(path.name))
        if match and len(match[2]) < 16:
            found[path.parent, f"{match[1]}#{match[3]}"].append((int(match[2]), index))
    return {key: [index for _, index in sorted(series)] for key, series in found.items()}
