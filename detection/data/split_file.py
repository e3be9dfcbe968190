"""A split of a data set that brings none: made once, kept as split.json, used again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from detection.data.dataset import DetectionDataset
from detection.data.near_duplicates import groups_of_one_scene
from detection.user_path import user_path

SPLIT_FILE = "split.json"
# Of the pictures, for validation; as many as COCO's val2017 are enough in any case.
VAL_SHARE = 0.2
MOST_VAL = 5000


@dataclass(frozen=True)
class PictureSplit:
    """Which pictures train and which validate.

    ``of``: the split of the data set that was divided, or several.
    ``train``, ``val``: paths of pictures, relative to the data set's folder.
    """

    of: str | tuple[str, ...]
    seed: int
    train: tuple[str, ...]
    val: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def load(file: Path) -> PictureSplit:
        """Raises FileNotFoundError, or ValueError for a file that is no such split."""
        file = user_path(file)
        if not file.is_file():
            raise FileNotFoundError(f"data.split_file={file}: no such file")
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
            sides = {side: tuple(map(str, content[side])) for side in ("train", "val")}
            of = content["of"]
            of = tuple(map(str, of)) if isinstance(of, list) else str(of)
            return PictureSplit(of, int(content["seed"]), **sides)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"data.split_file={file}: no split of a data set ({error!r}); it needs of, seed, "
                "and the names of pictures as train and val, as a training writes them"
            ) from None

    def side(
        self, dataset: DetectionDataset, side: Literal["train", "val"], *, root: Path
    ) -> DetectionDataset:
        """The pictures of ``dataset`` that are on one side, "train" or "val".

        Raises ValueError where one of them is not there.
        """
        wanted = set(self.train if side == "train" else self.val)
        examples = [e for e in dataset.examples if picture_name(e.path, root) in wanted]
        if len(examples) < len(wanted):
            there = {picture_name(e.path, root) for e in examples}
            raise ValueError(
                f"{root}: {len(wanted) - len(there)} pictures of the split's {side} side are not "
                f"there, the first is {min(wanted - there)}; leave out data.split_file for a new "
                "split"
            )
        return replace(dataset, examples=examples)


def picture_name(path: Path, root: Path) -> str:
    """Relative to the data set's folder, with forward slashes."""
    folder = root if root.is_dir() else root.parent
    return Path(os.path.relpath(path, folder)).as_posix()


def make_split(
    dataset: DetectionDataset, *, of: str | tuple[str, ...], root: Path, seed: int
) -> PictureSplit:
    """Divides ``dataset``: a fifth of the pictures of each class, scenes kept whole.

    The same seed and pictures give the same split, in whatever order they are read.  A class in
    one scene alone is learnt.  Raises ValueError for a single picture, which cannot be divided.
    """
    order = sorted(range(len(dataset)), key=lambda i: picture_name(dataset.examples[i].path, root))
    examples = [dataset.examples[i] for i in order]
    if len(examples) < 2:
        raise ValueError(
            f"{dataset.source}: one picture cannot be divided into training and validation; set "
            "data.val_split to data.train_split"
        )
    largest = max(1, len(examples) // 10)
    groups = groups_of_one_scene([example.path for example in examples], largest=largest)
    has = np.zeros((len(groups), len(dataset.class_names) + 1), dtype=np.int64)
    for group, row in zip(groups, has, strict=True):
        row[0] = len(group)
        for index in group:
            row[np.unique(examples[index].labels)] += 1
    if len(groups) == 1:  # all look alike: any division is as good
        groups = [[i] for i in range(len(examples))]
        has = np.concatenate([_presence(example.labels, has.shape[1]) for example in examples])
    validates = _stratified(has, np.random.default_rng(seed))
    sides: dict[bool, list[str]] = {False: [], True: []}
    for group, is_val in zip(groups, validates, strict=True):
        sides[is_val] += [picture_name(examples[i].path, root) for i in group]
    return PictureSplit(of, seed, tuple(sorted(sides[False])), tuple(sorted(sides[True])))


def _presence(labels: np.ndarray, width: int) -> np.ndarray:
    """[1, width]: the picture itself, then whether it has each class."""
    row = np.zeros((1, width), dtype=np.int64)
    row[0, [0, *np.unique(labels)]] = 1
    return row


def _stratified(has: np.ndarray, random: np.random.Generator) -> Sequence[bool]:
    """Which groups validate: the rarest class is dealt out first (Sechidis et al. 2011).

    ``has``: [groups, 1 + classes], the pictures of a group, and those of each class.
    """
    pictures = has[:, 0].sum()
    share = min(VAL_SHARE, MOST_VAL / pictures)
    wanted = share * has.sum(axis=0)
    dealt = np.zeros(len(has), dtype=bool)
    validates = np.zeros(len(has), dtype=bool)
    spread = (has > 0).sum(axis=0)
    classes = sorted(range(1, has.shape[1]), key=lambda c: (spread[c], c))
    for column in [*(c for c in classes if spread[c]), 0]:
        for group in random.permutation(np.flatnonzero((has[:, column] > 0) & ~dealt)):
            so_far = has[validates].sum(axis=0)
            size = has[group]
            fits = so_far[column] + size[column] / 2 <= wanted[column]
            fits &= so_far[0] + size[0] / 2 <= wanted[0] + 0.5
            # Nothing validates that could not be learnt.
            others = has[~validates].sum(axis=0) - size
            validates[group] = bool(fits and (others[size > 0] > 0).all())
            dealt[group] = True
    if not validates.any():  # few pictures: the smallest group that leaves the most to learn
        with_objects = has[:, 1:].sum(axis=1) > 0
        candidates = np.flatnonzero(with_objects if with_objects.any() else ~with_objects)
        rarity = [spread[1:][has[g, 1:] > 0].min(initial=len(has)) for g in candidates]
        best = max(range(len(candidates)), key=lambda i: (rarity[i], -has[candidates[i], 0]))
        validates[candidates[best]] = True
    return [bool(one) for one in validates]
