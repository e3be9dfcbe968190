"""Opens a data set by its path alone: finds out the format and the place of everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset, InvalidBoxes, union
from detection.data.voc import read_voc


def open_folder(
    *,
    root: Path,
    split: str,
    classes: Sequence[str] | None,
    invalid_boxes: InvalidBoxes,
    check_images: bool = True,
) -> DetectionDataset:
    """Reads ``split`` of the data set under ``root``, in COCO's or VOC's format.

    COCO: ``annotations/instances_<split>.json`` with pictures in ``<split>/``, ``images/<split>/``
    or ``images/``; the same without ``annotations/``; or ``<split>/_annotations.coco.json`` beside
    its pictures.
    VOC: ``ImageSets/Main/<split>.txt`` in ``root``, ``root``/VOC20xx, ``root``/VOCdevkit/VOC20xx.
    ``split``: of several parts as "VOC2007/trainval+VOC2012/trainval": all of them together, each a
    split's name, and before it the folder under ``root`` where it is not ``root`` itself.
    ``classes``: use only these, in this order.
    ``check_images=False``: do without the pictures (to evaluate saved detections).
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; set data.root to your data set")
    parts = []
    for part in split.split("+"):
        folder, _, name = part.rpartition("/")
        dataset = _read(root / folder, name, invalid_boxes, check_images)
        parts.append(dataset if classes is None else dataset.select_classes(classes))
    return union(parts)


def _read(
    root: Path, split: str, invalid_boxes: InvalidBoxes, check_images: bool
) -> DetectionDataset:
    for instances, folders in (
        (
            root / "annotations" / f"instances_{split}.json",
            (root / split, root / "images" / split, root / "images"),
        ),
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
    years = [
        voc for voc in _voc_roots(root) if (voc / "ImageSets" / "Main" / f"{split}.txt").is_file()
    ]
    if len(years) > 1:
        raise ValueError(
            f"{root}: {' and '.join(str(year.relative_to(root)) for year in years)} have a split "
            f"{split!r}; set data.root to one of them"
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
    splits |= {path.parent.name for path in root.glob("*/_annotations.coco.json")}
    for voc in _voc_roots(root):
        # "dog_train.txt" and the like list the images of one class.
        splits |= {
            path.stem for path in (voc / "ImageSets" / "Main").glob("*.txt") if "_" not in path.stem
        }
    return sorted(splits)


def _voc_roots(root: Path) -> list[Path]:
    nested = [*root.glob("VOC20*"), *root.glob("VOCdevkit/VOC20*")]
    return [root, *sorted(path for path in nested if path.is_dir())]
