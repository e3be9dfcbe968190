"""Data sets in COCO's annotation format (Lin et al. 2014)."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from detection import boxes as box_ops
from detection.data.dataset import BoxCheck, DetectionDataset, Example, InvalidBoxes

# What every entry of the three lists must say.
REQUIRED = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def read_coco(
    *, annotations: Path, images: Path | None, invalid_boxes: InvalidBoxes
) -> DetectionDataset:
    """Reads an ``instances_*.json``; labels follow the category ids in ascending order.

    ``images``: the folder of the pictures, each of which must be there; None to read the
    annotations alone (to evaluate saved detections).  An ``image_info_*.json``, of a test set, has
    images and categories only.
    Raises FileNotFoundError and ValueError, naming the file, the annotation and the value.
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
    examples = []
    for image in content["images"]:
        own = objects[image["id"]]
        size = (int(image["height"]), int(image["width"]))
        given = np.array([a["bbox"] for a in own], dtype=np.float64).reshape(-1, 4)
        where = [f"image {image['file_name']}, annotation {a.get('id')}" for a in own]
        boxes, kept = check(box_ops.from_coco(given.astype(np.float32)), size, where)
        areas = [a.get("area", a["bbox"][2] * a["bbox"][3]) for a in own]
        example = Example(
            image_id=int(image["id"]),
            path=(images or Path()) / image["file_name"],
            size=size,
            boxes=boxes,
            labels=np.array([label_of[a["category_id"]] for a in own], dtype=np.int64),
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in own], dtype=bool),
            difficult=np.array([bool(a.get("difficult", 0)) for a in own], dtype=bool),
            annotated=given,
            areas=np.array(areas, dtype=np.float64),
        )
        examples.append(example.keep(kept))
    check.finish()
    return DetectionDataset(tuple(names), tuple(ids), examples, annotations, annotated)


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
    # One listing instead of one stat per image: file systems on a network are slow at those.
    present = {entry.name for entry in os.scandir(folder)}
    missing = [n for n in names if n not in present and not (folder / n).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{annotations}: {len(missing)} of {len(names)} images are not in {folder}, the first "
            f"is {missing[0]}; check the folder, or take them out of the annotations"
        )
