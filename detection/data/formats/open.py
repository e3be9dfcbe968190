"""Opens a data set by its path: the format is recognised by its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import Coco
from detection.data.formats.format import Format
from detection.data.formats.imagenet_det import ImageNetDet
from detection.data.formats.voc import Voc

# The first format that has the split reads it.
FORMATS: tuple[Format, ...] = (Coco(), ImageNetDet(), Voc())


def open_dataset(
    *,
    root: Path,
    split: str | Sequence[str],
    classes: Sequence[str] | None,
    invalid_boxes: InvalidBoxes,
    check_images: bool = True,
    formats: Sequence[Format] = FORMATS,
) -> DetectionDataset:
    """Reads ``split`` of the data set at ``root`` in one of ``formats``.

    ``split``: several splits become one data set.  "<folder>/<split>" names a split of a folder in
    ``root``, or one level below it: ["VOC2007/trainval", "VOC2012/trainval"].
    ``classes``: use only these, in this order; None: all.
    ``check_images=False``: read the annotations without the pictures (to measure saved detections).
    Raises FileNotFoundError and ValueError, which name what is missing or wrong.
    """
    root = Path(root).expanduser()
    if not root.exists():
        kind = "file" if root.suffix else "folder"
        raise FileNotFoundError(f"{root}: no such {kind}; set data.root to your data set")
    splits = [split] if isinstance(split, str) else list(split)
    if not splits:
        raise ValueError(f"{root}: no split is named")
    datasets = [_read(root, name, invalid_boxes, check_images, formats) for name in splits]
    dataset = datasets[0] if len(datasets) == 1 else DetectionDataset.union(datasets)
    if classes is None:
        return dataset
    # A VOC test set without annotations does not say what its classes are.
    unnamed = not dataset.annotated and not set(classes) & set(dataset.class_names)
    return dataset.with_class_names(classes) if unnamed else dataset.select_classes(classes)


def available_splits(root: Path, formats: Sequence[Format] = FORMATS) -> list[str]:
    """The splits that `open_dataset` finds at ``root``."""
    return sorted({split for format in formats for split in format.splits(root)})


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
    for format in formats:
        if format.has_split(root, name):
            return format.read(
                root=root, split=name, check_images=check_images, invalid_boxes=invalid_boxes
            )
    found = available_splits(root, formats)
    expected = "; ".join(f"{format.expects} ({format.name})" for format in formats)
    raise FileNotFoundError(
        f"{root}: no split {name!r}. "
        + (
            f"There are {', '.join(found)}: set data.train_split and data.val_split"
            if found
            else f"It holds no data set in a known format; expected files are {expected}; "
            "see datasets/README.md for the expected trees"
        )
    )


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
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
