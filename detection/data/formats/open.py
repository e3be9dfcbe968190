"""Opens a data set by its path: the format is recognised by its files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from detection.data.box_check import InvalidBoxes
from detection.data.data_root import check_there, within
from detection.data.dataset import DetectionDataset
from detection.data.formats.class_choice import choose_classes
from detection.data.formats.coco import Coco
from detection.data.formats.coco_any import CocoAny
from detection.data.formats.csv_boxes import CsvBoxes
from detection.data.formats.cvat import CvatImages
from detection.data.formats.describe import describe
from detection.data.formats.format import FOREIGN, Format
from detection.data.formats.imagenet_det import ImageNetDet
from detection.data.formats.imagenet_loc import ImageNetLoc
from detection.data.formats.labelme import LabelMe
from detection.data.formats.splits import stand_in
from detection.data.formats.unread import say_unread
from detection.data.formats.via import Via
from detection.data.formats.voc import Voc
from detection.data.formats.voc_loose import VocLoose
from detection.data.formats.yolo import Yolo
from detection.data.picture_files import is_left_out, is_output, listed_once
from detection.user_path import user_path

log = logging.getLogger(__name__)

# The trees of the published data sets: the first of these formats that has the split reads it.
TREES: tuple[Format, ...] = (Coco(), ImageNetDet(), ImageNetLoc(), Voc())
# What tools leave, in any folders: where none of the above is, the first that finds something reads
# all.  A file that describes the whole comes before one for each picture, and both before tables.
EXPORTS: tuple[Format, ...] = (
    VocLoose(),
    Via(),
    LabelMe(),
    CocoAny(),
    CvatImages(),
    Yolo(),
    CsvBoxes(),
)
FORMATS = TREES + EXPORTS


def open_dataset(
    *,
    root: Path,
    split: str | Sequence[str],
    classes: Sequence[object] | None,
    invalid_boxes: InvalidBoxes,
    check_images: bool = True,
    formats: Sequence[Format] = FORMATS,
    allow_outside: bool = False,
) -> DetectionDataset:
    """Reads ``split`` of the data set at ``root`` in one of ``formats``.

    ``root``: a folder, or a single file that describes the data set.
    ``split``: several splits become one data set.  "<folder>/<split>" names a split of a folder in
    ``root``, or one level below it: ["VOC2007/trainval", "VOC2012/trainval"].  Where there is no
    "val", "valid", "validation" or a lone "val2017" is it, and so on (`splits.stand_in`).
    ``classes``: use only these, in this order; None: all.  A class called 1 or true may be named as
    that value, which is what YAML makes of it.  It is enough that some split of ``root`` has it:
    many formats know the classes of a split by its objects alone.
    ``check_images=False``: read the annotations without the pictures (to measure saved detections).
    ``allow_outside``: whether annotations and links may lead to files outside of ``root``.
    Raises FileNotFoundError and ValueError, which name what is missing or wrong.
    """
    root = _there(root)
    splits = [split] if isinstance(split, str) else list(split)
    if not splits:
        raise ValueError(f"{root}: no split is named")
    with within(root, allow_outside=allow_outside), listed_once():
        datasets = [_read(root, name, invalid_boxes, check_images, formats) for name in splits]
    dataset = datasets[0] if len(datasets) == 1 else DetectionDataset.union(datasets)
    if classes is None:
        return dataset

    def elsewhere() -> list[str]:
        with within(root, allow_outside=allow_outside), listed_once():
            return _class_names_of_all_splits(root, invalid_boxes, formats)

    return choose_classes(dataset, classes, elsewhere=elsewhere)


def _class_names_of_all_splits(
    root: Path, invalid_boxes: InvalidBoxes, formats: Sequence[Format]
) -> list[str]:
    names: dict[str, None] = {}
    for split in _splits(root, formats):
        try:
            names |= dict.fromkeys(_read(root, split, invalid_boxes, False, formats).class_names)
        except (OSError, ValueError):  # it is not the split that was asked for
            continue
    return list(names)


def available_splits(
    root: Path, formats: Sequence[Format] = FORMATS, *, allow_outside: bool = False
) -> list[str]:
    """The splits that `open_dataset` finds at ``root``; [] where no format is recognised.

    Raises ValueError for links out of ``root``, unless ``allow_outside``.
    """
    with within(root, allow_outside=allow_outside), listed_once():
        return _splits(root, formats)


def open_every_split(
    *,
    root: Path,
    invalid_boxes: InvalidBoxes,
    formats: Sequence[Format] = FORMATS,
    allow_outside: bool = False,
) -> dict[str, DetectionDataset]:
    """All that the data set has, by the names of its splits; {"all": ...} where it has none.

    Raises as `open_dataset`.
    """
    root = _there(root)
    with listed_once():
        names = available_splits(root, formats, allow_outside=allow_outside) or ["all"]
        return {
            name: open_dataset(
                root=root,
                split=name,
                classes=None,
                invalid_boxes=invalid_boxes,
                formats=formats,
                allow_outside=allow_outside,
            )
            for name in names
        }


def _splits(root: Path, formats: Sequence[Format]) -> list[str]:
    at, found = _recognise(root, formats)
    return sorted({split for format in found for split in format.splits(at)})


def _there(root: Path) -> Path:
    root = user_path(root)
    check_there(root)
    return root


def _recognise(root: Path, formats: Sequence[Format]) -> tuple[Path, list[Format]]:
    """The formats that have a split there, and the folder: ``root``, or the only one in it."""
    trees = [format for format in formats if format not in EXPORTS]
    found = [format for format in trees if format.splits(root)]
    if found:
        return root, found
    below = [path for path in _folders(root) if any(f.splits(path) for f in trees)]
    if len(below) == 1:
        return below[0], [format for format in trees if format.splits(below[0])]
    exports = (format for format in formats if format in EXPORTS)
    first = next((format for format in exports if format.splits(root)), None)
    return root, [] if first is None else [first]


def _read(
    root: Path,
    split: str,
    invalid_boxes: InvalidBoxes,
    check_images: bool,
    formats: Sequence[Format],
) -> DetectionDataset:
    folder, _, name = split.rpartition("/")
    if folder:
        root = _find_folder(root, folder, split)
    trees = [format for format in formats if format not in EXPORTS]
    chosen = _with_split(root, [name], trees)
    if chosen is None:
        root, found = _recognise(root, formats)
        all_splits = sorted({one for format in found for one in format.splits(root)})
        meant = [one for one in (name, stand_in(name, all_splits)) if one is not None]
        chosen = _with_split(root, meant, found)
    if chosen is not None:
        format, found_name = chosen
        if found_name != name:
            log.info("%s: the split %s is called %s here", root, name, found_name)
        try:
            dataset = format.read(
                root=root, split=found_name, check_images=check_images, invalid_boxes=invalid_boxes
            )
        except FOREIGN as error:
            raise ValueError(
                f"{root}: the split {found_name} is not as {format.name} has it: {error!r}; export "
                "it again"
            ) from error
        if not dataset.examples:
            odd = "".join(f"; {oddity}" for oddity in dataset.oddities)
            raise ValueError(f"{dataset.source}: it has no annotated picture{odd}")
        if format in EXPORTS and check_images:
            others = [other for other in formats if other in EXPORTS and other is not format]
            return say_unread(dataset, root, format, others)
        return dataset
    splits = _splits(root, formats)
    if splits:
        there = f"There are {', '.join(splits)}: set data.train_split and data.val_split"
    else:
        known = ", ".join(dict.fromkeys(format.name for format in formats))
        there = (
            f"It holds no data set in a known format: {describe(root)} What is read is {known}; "
            "datasets/README.md and docs/own-data.md show how each lies in its folder"
        )
    raise FileNotFoundError(f"{root}: no split {name!r}. {there}")


def _with_split(
    root: Path, names: Iterable[str], formats: Sequence[Format]
) -> tuple[Format, str] | None:
    for name in names:
        for format in formats:
            if format.has_split(root, name):
                return format, name
    return None


def _find_folder(root: Path, folder: str, split: str) -> Path:
    """``folder`` in ``root``, or else in the one folder of ``root`` that has it (VOCdevkit)."""
    if (root / folder).is_dir():
        return root / folder
    below = [path / folder for path in _folders(root) if (path / folder).is_dir()]
    if len(below) == 1:
        return below[0]
    if below:
        raise ValueError(
            f"{root}: the split {split!r} fits {' and '.join(map(str, below))}; name one of them: "
            f"{below[0].relative_to(root)}/{split.rpartition('/')[2]}"
        )
    raise FileNotFoundError(f"{root}: no folder {folder} in it, which the split {split!r} names")


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(
        p for p in root.iterdir() if p.is_dir() and not (is_left_out(p.name) or is_output(p))
    )
