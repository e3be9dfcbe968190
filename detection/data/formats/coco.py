"""Data sets in COCO's annotation format (Lin et al. 2014): one JSON file per split.

The trees that are recognised::

    root/annotations/instances_<split>.json   pictures in <split>/, images/<split>/ or images/
    root/annotations/image_info_<split>.json  of a test set: the same, without annotations
    root/instances_<split>.json               pictures in <split>/, images/ or beside it
    root/<split>/_annotations.coco.json       pictures beside it

A split may be a subset of the pictures of a year: those of minival2014 are found in val2014/, those
of test-dev2015 in test2015/.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from detection import boxes as box_ops
from detection.data.box_check import BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset, Example

# The keys that every entry of the three lists must have.
REQUIRED = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


class Coco:
    """See `detection.data.formats.format.Format`."""

    name = "COCO"
    expects = "annotations/instances_*.json or */_annotations.coco.json"

    def splits(self, root: Path) -> list[str]:
        found = {
            path.stem.removeprefix("instances_")
            for folder in (root, root / "annotations")
            for path in folder.glob("instances_*.json")
        }
        found |= {
            path.stem.removeprefix("image_info_")
            for path in (root / "annotations").glob("image_info_*.json")
        }
        found |= {path.parent.name for path in root.glob("*/_annotations.coco.json")}
        return sorted(found)

    def has_split(self, root: Path, split: str) -> bool:
        return _find(root, split) is not None

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        found = _find(root, split)
        assert found is not None, "has_split comes first"
        annotations, images = found
        return read_coco(
            annotations=annotations,
            images=images if check_images else None,
            invalid_boxes=invalid_boxes,
        )


def _find(root: Path, split: str) -> tuple[Path, Path] | None:
    """The annotations of ``split`` and the folder of its pictures; None if there are none."""
    usual = (root / split, root / "images" / split, *_year_folders(root, split), root / "images")
    for file, folders in (
        (root / "annotations" / f"instances_{split}.json", usual),
        (root / "annotations" / f"image_info_{split}.json", usual),
        (root / f"instances_{split}.json", (root / split, root / "images", root)),
        (root / split / "_annotations.coco.json", (root / split,)),
    ):
        if file.is_file():
            return file, next((folder for folder in folders if folder.is_dir()), folders[0])
    return None


def _year_folders(root: Path, split: str) -> list[Path]:
    """The folders of the year that ``split`` is a subset of: val2014/ for minival2014."""
    whole = split.replace("-dev", "")
    return [
        folder
        for parent in (root, root / "images")
        for folder in (sorted(parent.iterdir()) if parent.is_dir() else ())
        if folder.is_dir() and re.search(r"\d", folder.name) and whole.endswith(folder.name)
    ]


def read_coco(
    *, annotations: Path, images: Path | None, invalid_boxes: InvalidBoxes
) -> DetectionDataset:
    """Reads ``annotations``; the labels follow the category ids in ascending order.

    ``images``: the folder of the pictures, all of which must exist; None: read the annotations
    alone (to measure saved detections).  A file image_info_*.json, of a test set, has no
    annotations.
    Raises FileNotFoundError and ValueError, which name the file, the annotation and the value.
    """
    annotated = not annotations.name.startswith("image_info")
    content = _load(annotations, annotated=annotated)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    ids = [int(category["id"]) for category in categories]
    names = [str(category["name"]) for category in categories]
    for kind, values in (("id", ids), ("name", names)):
        if len(set(values)) != len(values):
            raise ValueError(f"{annotations}: two categories have the same {kind}: {values}")
    label_of = {category_id: label for label, category_id in enumerate(ids, start=1)}
    objects = _group(content, annotations, label_of)
    if images is not None:
        _check_images(content["images"], images, annotations)

    check = BoxCheck(source=annotations, on_invalid=invalid_boxes)
    examples = [
        _example(image, objects[image["id"]], images, label_of, check)
        for image in content["images"]
    ]
    check.finish()
    return DetectionDataset(tuple(names), tuple(ids), examples, annotations, annotated)


def _example(
    image: dict[str, Any],
    objects: list[dict[str, Any]],
    images: Path | None,
    label_of: dict[int, int],
    check: BoxCheck,
) -> Example:
    size = (int(image["height"]), int(image["width"]))
    annotated = np.array([item["bbox"] for item in objects], dtype=np.float64).reshape(-1, 4)
    where = [f"image {image['file_name']}, annotation {item.get('id')}" for item in objects]
    boxes, kept = check(box_ops.from_coco(annotated.astype(np.float32)), size, where)
    areas = [item.get("area", item["bbox"][2] * item["bbox"][3]) for item in objects]
    example = Example(
        image_id=int(image["id"]),
        path=(images or Path()) / image["file_name"],
        size=size,
        boxes=boxes,
        labels=np.array([label_of[item["category_id"]] for item in objects], dtype=np.int64),
        crowd=np.array([bool(item.get("iscrowd", 0)) for item in objects], dtype=bool),
        difficult=np.array([bool(item.get("difficult", 0)) for item in objects], dtype=bool),
        annotated=annotated,
        areas=np.array(areas, dtype=np.float64),
    )
    return example.keep(kept)


def _load(path: Path, *, annotated: bool) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if isinstance(content, dict) and not annotated:
        content = content | {"annotations": []}
    missing = [
        key
        for key in ("images", "annotations", "categories")
        if not isinstance(content, dict) or key not in content
    ]
    if missing:
        raise ValueError(
            f"{path}: not in COCO's format: no {', '.join(missing)}; "
            "expected images, annotations and categories"
        )
    for kind, keys in REQUIRED.items():
        for index, entry in enumerate(content[kind]):
            for key in keys:
                if key not in entry:
                    raise ValueError(f"{path}: {kind}[{index}] (id {entry.get('id')}) has no {key}")
    for image in content["images"]:
        for key in ("height", "width"):
            if not (_is_number(image[key]) and image[key] >= 1):
                raise ValueError(
                    f"{path}: image {image['file_name']} has {key} {image[key]!r}; "
                    "expected its number of pixels"
                )
    return content


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _group(
    content: dict[str, Any], path: Path, label_of: dict[int, int]
) -> defaultdict[int, list[dict[str, Any]]]:
    """The annotations of each image id, in the order of the file."""
    image_ids = {image["id"] for image in content["images"]}
    if len(image_ids) != len(content["images"]):
        raise ValueError(f"{path}: two images have the same id")
    grouped: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        where = f"{path}: annotation {annotation.get('id')}"
        if annotation["image_id"] not in image_ids:
            raise ValueError(
                f"{where} belongs to image id {annotation['image_id']}, which is not in 'images'"
            )
        if annotation["category_id"] not in label_of:
            raise ValueError(
                f"{where} has category_id {annotation['category_id']}, which is not in "
                f"'categories' (ids {sorted(label_of)})"
            )
        box = annotation["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise ValueError(f"{where} has bbox {box}; expected [x, y, width, height]")
        if not _is_number(annotation.get("area", 0)):
            raise ValueError(f"{where} has area {annotation['area']!r}; expected a number")
        grouped[annotation["image_id"]].append(annotation)
    return grouped


def _check_images(images: list[dict[str, Any]], folder: Path, annotations: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder of images (for {annotations}); see datasets/README.md for "
            "the expected tree"
        )
    names = [str(image["file_name"]) for image in images]
    # One listing instead of one stat per image, which is slow on network file systems.
    present = {entry.name for entry in os.scandir(folder)}
    missing = [n for n in names if n not in present and not (folder / n).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{annotations}: {len(missing)} of {len(names)} images are not in {folder}, the first "
            f"is {missing[0]}; check the folder, or take them out of the annotations"
        )
