"""Configuration -> data sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from detection.cli.objects import make
from detection.data.dataset import DetectionDataset
from detection.data.formats.format import Format
from detection.data.formats.open import FORMATS, open_dataset
from detection.data.split_file import PictureSplit
from detection.user_path import user_path

log = logging.getLogger("test")


def open_split(
    data: DictConfig, split: str | Sequence[str], *, check_images: bool = True
) -> DetectionDataset:
    """A split of ``data.root``, or several as one data set.

    Where ``data.split_file`` divides one, the training and validation splits are its sides.
    """
    root = user_path(data.root)
    side = _side(data, split)
    divided = PictureSplit.load(Path(data.split_file)) if side else None
    dataset = open_dataset(
        root=root,
        split=divided.of if divided else split,
        classes=data.classes,
        invalid_boxes=data.invalid_boxes,
        check_images=check_images,
        formats=formats(data),
        allow_outside=data.allow_outside,
    )
    return divided.side(dataset, side, root=root) if divided and side else dataset


def with_pictures(
    dataset: DetectionDataset, data: DictConfig, split: str | Sequence[str]
) -> DetectionDataset:
    """``dataset``, read without its pictures, with the paths of those that are there after all."""
    try:
        found = open_split(data, split)
    except (OSError, ValueError) as error:
        log.info("no pictures are shown: %s", str(error).partition("\n")[0])
        return dataset
    places = {(example.image_id, example.path.name): example.path for example in found.examples}
    examples = [
        replace(example, path=places.get((example.image_id, example.path.name), example.path))
        for example in dataset.examples
    ]
    return replace(dataset, examples=examples)


def _side(data: DictConfig, split: str | Sequence[str]) -> Literal["train", "val"] | None:
    """The side of ``data.split_file`` that ``split`` is."""
    if data.split_file is None:
        return None
    if split == data.train_split:
        return "train"
    return "val" if split == data.val_split else None


def formats(data: DictConfig) -> tuple[Format, ...]:
    """The formats that ``data.root`` may have: the one that ``data.format`` names, or all."""
    return FORMATS if data.format._target_ is None else (make(data.format),)
