"""Opens a data set by its path alone: finds out the format and the place of everything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detection.data.dataset import DetectionDataset, InvalidBoxes
from detection.data.formats.coco import read_coco
from detection.data.formats.imagenet_det import det_splits, is_det, read_det
from detection.data.formats.voc import read_voc


def open_folder(
    *,
    root: Path,
    split: str | Sequence[str],
    classes: Sequence[str] | None,
    invalid_boxes: InvalidBoxes,
    check_images: bool = True,
) -> DetectionDataset:
    """Reads ``split`` of the data set under ``root``, in COCO's, VOC's or ImageNet DET's format.

    Several splits are one data set; a split of a folder inside ``root`` is "<folder>/<split>":
    ["VOC2007/trainval", "VOC2012/trainval"].
    COCO: ``annotations/instances_<split>.json`` with pictures in ``<split>/``, ``images/<split>/``
    or ``images/``; the same without ``annotations/``; or ``<split>/_annotations.coco.json`` beside
    its pictures.
    Of a test set, ``image_info_<split>.json``.  Pictures may lie in the folder of the year that
    the split is a part of: val2014 for minival2014, test2015 for test-dev2015.
    VOC: ``ImageSets/Main/<split>.txt`` in ``root``, ``root``/VOC20xx, ``root``/VOCdevkit/VOC20xx.
    ImageNet DET: see :mod:`detection.data.formats.imagenet_det`.
    ``classes``: use only these, in this order.
    ``check_images=False``: do without the pictures (to evaluate saved detections).
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; set data.root to your data set")
    splits = [split] if isinstance(split, str) else list(split)
    if not splits:
        raise ValueError(f"{root}: no split is named")
    parts = [_read(*_place(root, name), invalid_boxes, check_images) for name in splits]
    dataset = parts[0] if len(parts) == 1 else DetectionDataset.union(parts)
    if classes is None:
        return dataset
    # An image set of VOC's without annotations does not say what its classes are.
    unnamed = not dataset.annotated and not set(classes) & set(dataset.class_names)
    return dataset.with_class_names(classes) if unnamed else dataset.select_classes(classes)


def _place(root: Path, split: str) -> tuple[Path, str]:
    """The folder that "<folder>/<split>" lies in, and the split's own name."""
    folder, _, name = split.rpartition("/")
    if not folder:
        return root, split
    for place in (root / folder, root / "VOCdevkit" / folder):
        if place.is_dir():
            return place, name
    raise FileNotFoundError(f"{root}: no folder {folder} in it, which the split {split!r} names")


def _read(
    root: Path, split: str, invalid_boxes: InvalidBoxes, check_images: bool
) -> DetectionDataset:
    usual = (root / split, root / "images" / split, *_year_folders(root, split), root / "images")
    for instances, folders in (
        (root / "annotations" / f"instances_{split}.json", usual),
        (root / "annotations" / f"image_info_{split}.json", usual),
        (root / f"instances_{split}.json", (root / split, root / "images", root)),
        (root / split / "_annotations.coco.json", (root / split,)),
    ):
        if instances.is_file():
            images = next((folder for folder in folders if folder.is_dir()), folders[0])
            return read_coco(
                annotations=instances,
                images=images if check_images else None,
                invalid_boxes=invalid_boxes,
            )
    if is_det(root) and split in det_splits(root):
        return read_det(
            root=root, split=split, check_images=check_images, invalid_boxes=invalid_boxes
        )
    years = [
        voc for voc in _voc_roots(root) if (voc / "ImageSets" / "Main" / f"{split}.txt").is_file()
    ]
    if len(years) > 1:
        raise ValueError(
            f"{root}: {' and '.join(str(year.relative_to(root)) for year in years)} have a split "
            f"{split!r}; name one of them, {years[0].name}/{split}, or several: "
            f"[{','.join(f'{year.name}/{split}' for year in years)}]"
        )
    if years:
        return read_voc(
            root=years[0], split=split, check_images=check_images, invalid_boxes=invalid_boxes
        )
    found = available_splits(root)
    raise FileNotFoundError(
        f"{root}: no split {split!r}. "
        + (
            f"There are {', '.join(found)}: set data.train_split and data.val_split"
            if found
            else "It holds no data set in a known format: neither annotations/instances_*.json or "
            "*/_annotations.coco.json (COCO) nor ImageSets/Main/*.txt (VOC); "
            "see datasets/README.md for the expected trees"
        )
    )


def available_splits(root: Path) -> list[str]:
    """The splits that :func:`open_folder` would find under ``root``."""
    splits = {
        path.stem.removeprefix("instances_")
        for folder in (root, root / "annotations")
        for path in folder.glob("instances_*.json")
    }
    splits |= {
        path.stem.removeprefix("image_info_")
        for path in (root / "annotations").glob("image_info_*.json")
    }
    splits |= {path.parent.name for path in root.glob("*/_annotations.coco.json")}
    if is_det(root):
        splits |= set(det_splits(root))
    # "dog_train.txt" and the like list the images of one class.
    of_years = [
        (path.stem, voc.name)
        for voc in _voc_roots(root)
        for path in (voc / "ImageSets" / "Main").glob("*.txt")
        if "_" not in path.stem
    ]
    times = Counter(name for name, _ in of_years)
    splits |= {name if times[name] == 1 else f"{year}/{name}" for name, year in of_years}
    return sorted(splits)


def _year_folders(root: Path, split: str) -> list[Path]:
    """Folders of pictures that a part of them, as COCO names it, is taken from."""
    whole = split.replace("-dev", "")
    return [
        folder
        for parent in (root, root / "images")
        for folder in (sorted(parent.iterdir()) if parent.is_dir() else ())
        if folder.is_dir() and re.search(r"\d", folder.name) and whole.endswith(folder.name)
    ]


def _voc_roots(root: Path) -> list[Path]:
    nested = [*root.glob("VOC20*"), *root.glob("VOCdevkit/VOC20*")]
    return [root, *sorted(path for path in nested if path.is_dir())]
