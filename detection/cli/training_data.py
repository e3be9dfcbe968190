"""Configuration -> the pictures that train and those that validate; makes a split where none is."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from detection.cli.data_sets import formats, open_split
from detection.cli.given import texts
from detection.data.audit.classes import boxes_per_class, fold_name
from detection.data.class_words import classes_override
from detection.data.cut_files import refuse_cut
from detection.data.dataset import DetectionDataset
from detection.data.formats.csv_boxes import CsvBoxes
from detection.data.formats.labelme import LabelMe
from detection.data.formats.open import available_splits
from detection.data.formats.splits import REST, is_of, stand_in
from detection.data.formats.voc_loose import VocLoose
from detection.data.formats.yolo import Yolo
from detection.data.report import splits_report
from detection.data.split_file import SPLIT_FILE, PictureSplit, make_split
from detection.user_path import user_path

log = logging.getLogger("train")

# Formats whose splits are folders, or words of a column: what is in none is a split of that name.
_WITH_REST = (Yolo.name, VocLoose.name, LabelMe.name, CsvBoxes.name)
SIDES: tuple[Literal["train"], Literal["val"]] = ("train", "val")


@dataclass(frozen=True)
class TrainingData:
    """Both with the training set's labels.  ``files``: name -> text, to keep beside the run."""

    train: DetectionDataset
    val: DetectionDataset
    files: dict[str, str]


def open_training_data(config: DictConfig) -> TrainingData:
    """Opens ``data.train_split`` and ``data.val_split``.

    Where there is no validation split, one is made; ``data.split_file`` says afterwards where it
    will be kept, so that the run's configuration leads to it again.
    """
    data = config.data
    made = _divided(config) if _split_file(config) is None else None
    if made is None:
        train_set, val_set = (open_split(data, name) for name in (data.train_split, data.val_split))
        split = None if data.split_file is None else PictureSplit.load(Path(data.split_file))
    else:
        whole, split = made
        root = user_path(data.root)
        train_set, val_set = (split.side(whole, side, root=root) for side in SIDES)
    if train_set.format in _WITH_REST:
        _warn_of_rest(data)
    if split is not None:
        data.split_file = str(Path(config.output_dir) / SPLIT_FILE)
    for dataset in (train_set, val_set):
        if not dataset.annotated:
            raise ValueError(f"{dataset.source} is not annotated: choose another split")
    names = _class_names(train_set, val_set)
    train_set, val_set = (one.with_class_names(names) for one in (train_set, val_set))
    if not data.train_on_empty:
        train_set = train_set.without_empty()
    log.info("%s", splits_report({"train": train_set, "val": val_set}))
    sizes = {example.path: example.size for one in (train_set, val_set) for example in one.examples}
    refuse_cut(sizes, source=user_path(data.root))
    for dataset in (train_set, val_set):
        _warn_of_repeats(dataset)
    warn_of_overlap(train_set, val_set)
    return TrainingData(train_set, val_set, {SPLIT_FILE: split.to_json()} if split else {})


def _class_names(train_set: DetectionDataset, val_set: DetectionDataset) -> tuple[str, ...]:
    """Those of training, and what only pictures for validation have objects of.

    Where a format lists no classes, a rare one is easily in the smaller split alone.
    """
    known = train_set.class_names
    only = sorted(name for name, boxes in boxes_per_class(val_set).items() if boxes)
    only = [name for name in only if name not in known]
    if not only or not set(known) & set(val_set.class_names):
        return known
    alike = {fold_name(name): name for name in known}
    for name in only:
        if fold_name(name) in alike:
            raise ValueError(
                f"{val_set.source}: the class {name!r} is {alike[fold_name(name)]!r} in "
                f"{train_set.source}: write them alike, as detection check ... fix=true does in a "
                "copy"
            )
    log.warning(
        "no box in %s is of %s, which %s has: that cannot be learnt, and counts as an AP of 0; "
        "%s leaves it out",
        train_set.source,
        ", ".join(only),
        val_set.source,
        classes_override(known),
    )
    return known + tuple(only)


def _split_file(config: DictConfig) -> str | None:
    """The one that is given, or that of the run that goes on."""
    data = config.data
    kept = Path(config.output_dir) / SPLIT_FILE
    if data.split_file is None and config.resume and kept.is_file():
        data.split_file = str(kept)
    file: str | None = data.split_file
    return file


def _divided(config: DictConfig) -> tuple[DetectionDataset, PictureSplit] | None:
    """A split that has to give the pictures for validation, and how."""
    data = config.data
    of = to_divide(data)
    if of is None:
        return None
    root = user_path(data.root)
    whole = open_split(data, of)
    if len(whole) == 1:
        data.train_split = data.val_split = of
        return None
    split = make_split(whole, of=of, root=root, seed=config.seed)
    log.info(
        "%s: no validation split, so one is made of %s: %d pictures train, %d validate (every "
        "class in both where it can be, copies and frames of one scene on one side; kept in %s)",
        root,
        " and ".join(texts(of)),
        len(split.train),
        len(split.val),
        Path(config.output_dir) / SPLIT_FILE,
    )
    return whole, split


def to_divide(data: DictConfig) -> str | tuple[str, ...] | None:
    """The split that has to give pictures for validation, or the several that train.

    None where there is one for it.
    """
    names = texts(data.train_split)
    if data.val_split != "val" or any("/" in name for name in names):
        return None
    root = user_path(data.root)
    splits = available_splits(root, formats(data), allow_outside=data.allow_outside)
    if not splits or any(is_of(name, data.val_split) for name in splits):
        return None
    if not isinstance(data.train_split, str):
        several = [stand_in(name, splits) for name in names]
        return tuple(name for name in several if name) if all(several) else None
    train = stand_in(data.train_split, splits)
    if train is None and data.train_split == "train" and len(splits) == 1:
        return None if stand_in("test", splits) else splits[0]
    return train


def _warn_of_rest(data: DictConfig) -> None:
    """Pictures outside of the splits are easily forgotten."""
    names = (*texts(data.train_split), *texts(data.val_split))
    if any("/" in name for name in names):
        return
    splits = available_splits(user_path(data.root), formats(data), allow_outside=data.allow_outside)
    if REST in splits and REST not in {stand_in(name, splits) or name for name in names}:
        log.warning(
            "%s: some pictures are in none of its splits, but beside them: they neither "
            "train nor validate; data.train_split=[train,%s] trains on them, too",
            user_path(data.root),
            REST,
        )


def _warn_of_repeats(dataset: DetectionDataset) -> None:
    """As of two people who annotated one picture: each entry makes background of the other's."""
    entries: dict[Path, set[bytes]] = {}
    for example in dataset.examples:
        boxes = example.labels.tobytes() + example.boxes.tobytes()
        entries.setdefault(example.path, set()).add(boxes)
    repeated = [path for path, several in entries.items() if len(several) > 1]
    if repeated:
        log.warning(
            "%s: %d pictures have several entries with boxes of their own, the first is %s: in "
            "each the boxes of the others count as background; join them",
            dataset.source,
            len(repeated),
            repeated[0],
        )


def warn_of_overlap(train_set: DetectionDataset, val_set: DetectionDataset) -> None:
    """Pictures that were learnt say nothing of others."""
    learnt = {example.path.resolve() for example in train_set.examples}
    by_size: dict[int, list[Path]] = {}
    for path in learnt:
        by_size.setdefault(_size(path), []).append(path)
    # Of pictures without compression all may be of one size: each file is read once.
    digest = functools.cache(_digest)
    both = [
        example.path
        for example in val_set.examples
        if example.path.resolve() in learnt
        or digest(example.path) in map(digest, by_size.get(_size(example.path), []))
    ]
    if len(both) == len(val_set):
        log.warning(
            "all %d pictures for validation are learnt as well: AP says how well they are known by "
            "heart, and nothing of new pictures",
            len(both),
        )
    elif both:
        log.warning(
            "%d of %d pictures for validation are learnt as well, the first is %s: AP comes out "
            "too high",
            len(both),
            len(val_set),
            both[0],
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _digest(path: Path) -> bytes:
    """Of the file's bytes; a file that is not there equals none but itself."""
    if not path.is_file():
        return os.fsencode(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
