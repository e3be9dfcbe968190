"""Data sets in COCO's annotation format (Lin et al. 2014): one JSON file per split.

`coco_tree` has the trees that are recognised, `coco_any` such files under other names.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from detection import boxes as box_ops
from detection.data.box_check import OVER_BORDER, BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset, Example
from detection.data.findings import Findings
from detection.data.formats.coco_entries import (
    Entry,
    box_of,
    categories_of,
    group_by_image,
    key_of,
    number_of,
    require,
    say_repeated_ids,
    size_of,
)
from detection.data.formats.coco_images import find_images
from detection.data.formats.coco_tree import find_split, list_splits
from detection.data.formats.flags import flag_of
from detection.data.formats.sizes import Size, Sized, settle_sizes
from detection.data.formats.text_file import read_json


class Coco:
    """See `detection.data.formats.format.Format`."""

    name = "COCO"

    def splits(self, root: Path) -> list[str]:
        return list_splits(root)

    def has_split(self, root: Path, split: str) -> bool:
        return find_split(root, split) is not None

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        found = find_split(root, split)
        assert found is not None, "has_split comes first"
        annotations, images = found
        return read_coco(
            annotations=annotations,
            images=images if check_images else None,
            invalid_boxes=invalid_boxes,
            root=root,
            split=split,
        )


def read_coco(
    *,
    annotations: Path,
    images: Path | None,
    invalid_boxes: InvalidBoxes,
    root: Path | None = None,
    split: str = "",
) -> DetectionDataset:
    """Reads ``annotations``; the labels follow the category ids in ascending order.

    ``images``: the folder of the pictures, all of which must exist; None: read the annotations
    alone (to measure saved detections).  ``root``: pictures that are not in ``images`` are looked
    for in all of it, but for the folders of other splits than ``split``.
    A file image_info_*.json, of a test set, has no annotations.
    Image ids that are no integers are replaced by 1, 2, ... in the order of the file.
    Raises FileNotFoundError and ValueError, which name the file, the annotation and the value.
    """
    annotated = not annotations.name.startswith("image_info")
    content = _load(annotations, annotated=annotated)
    findings = Findings()
    require(content["images"], "images", ("id", "file_name"), annotations, findings)
    categories = categories_of(content, annotations, findings)
    labels: dict[Hashable, int] = {c.key: label for label, c in enumerate(categories, start=1)}
    keys = _image_keys(content["images"], annotations, findings)
    require(
        content["annotations"], "annotations", ("image_id", "category_id"), annotations, findings
    )
    say_repeated_ids(content["annotations"], findings)
    objects = group_by_image(content["annotations"], keys, labels, annotations, findings)
    sizes = {
        key: size_of(image, index, annotations, findings, needed=images is None)
        for index, (key, image) in enumerate(keys.items())
    }
    boxes = {key: _boxes(objects[key], sizes[key], annotations, findings) for key in keys}
    findings.finish()
    paths = {key: Path(str(image["file_name"])) for key, image in keys.items()}
    if images is not None:
        paths = find_images(keys, images, root, annotations, findings, split=split)
        keys = {key: image for key, image in keys.items() if key in paths}
        stated = [Sized(paths[key], sizes[key], box_ops.from_coco(boxes[key])) for key in keys]
        sizes = dict(zip(keys, settle_sizes(stated, findings), strict=True))
        findings.finish()

    ids = _integers(keys, findings)
    check = BoxCheck(source=annotations, on_invalid=invalid_boxes)
    examples = [
        _example(ids[key], image, paths[key], sizes[key], boxes[key], objects[key], labels, check)
        for key, image in keys.items()
    ]
    check.finish()
    findings.all_repaired(OVER_BORDER, check.clipped)
    return DetectionDataset(
        tuple(category.name for category in categories),
        _category_ids([category.key for category in categories]),
        examples,
        annotations,
        annotated,
        Coco.name,
        findings.oddities,
    )


def _load(path: Path, *, annotated: bool) -> dict[str, list[Entry]]:
    content = read_json(path)
    if isinstance(content, dict) and not annotated:
        content = content | {"annotations": []}
    missing = [
        key
        for key in ("images", "annotations", "categories")
        if not (isinstance(content, dict) and isinstance(content.get(key), list))
    ]
    if missing:
        raise ValueError(
            f"{path}: not in COCO's format: no {', '.join(missing)}; "
            "expected images, annotations and categories"
        )
    for kind in ("images", "annotations", "categories"):
        for index, entry in enumerate(content[kind]):
            if not isinstance(entry, dict):
                raise ValueError(
                    f"{path}: {kind}[{index}] is {entry!r}; expected an object {{...}}"
                )
    return dict(content)


def _image_keys(images: list[Entry], path: Path, findings: Findings) -> dict[Hashable, Entry]:
    """The images by their ids, in the order of the file."""
    found: dict[Hashable, Entry] = {}
    for image in images:
        if "id" not in image or "file_name" not in image:
            continue  # refused by `require`
        key = key_of(image["id"])
        name = image["file_name"]
        if not isinstance(name, (str, int)) or name == "":
            findings.refuse(
                f"{path}: image {image['id']!r} has file_name {name!r}; name its picture"
            )
        if key is None:
            findings.refuse(f"{path}: image {name} has id {image['id']!r}; number the images")
        elif key in found:
            findings.refuse(
                f"{path}: two images have the same id {image['id']!r}: "
                f"{found[key]['file_name']} and {image['file_name']}; give each its own"
            )
        found[key] = image
    return found


def _boxes(
    objects: list[Entry], size: Size | None, path: Path, findings: Findings
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64 [G, 4], (x, y, width, height); refuses, and leaves out, what is no numbers."""
    boxes = []
    for annotation in tuple(objects):
        where = f"{path}: annotation {annotation.get('id')!r}"
        box = box_of(annotation, size, where, findings)
        if box is None:
            if "bbox" not in annotation:
                findings.refuse(f"{where} has no bbox, and no mask to take it from")
            objects.remove(annotation)
            continue
        area = annotation.get("area")
        number = number_of(area)
        if area is not None and (number is None or not math.isfinite(number)):
            findings.refuse(f"{where} has area {area!r}; expected a finite number, or none")
            annotation["area"] = None
        boxes.append(box)
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _integers(keys: dict[Hashable, Entry], findings: Findings) -> dict[Hashable, int]:
    if all(isinstance(key, int) for key in keys):
        return {key: key for key in keys if isinstance(key, int)}
    first = next(key for key in keys if not isinstance(key, int))
    findings.repaired("image ids that are no integers, replaced by 1, 2, ...", repr(first))
    return {key: number for number, key in enumerate(keys, start=1)}


def _category_ids(keys: list[Hashable]) -> tuple[int, ...]:
    if all(isinstance(key, int) for key in keys):
        return tuple(key for key in keys if isinstance(key, int))
    return tuple(range(1, len(keys) + 1))


def _example(
    image_id: int,
    image: Entry,
    path: Path,
    size: Size | None,
    annotated: np.ndarray[Any, np.dtype[np.float64]],
    objects: list[Entry],
    labels: dict[Hashable, int],
    check: BoxCheck,
) -> Example:
    assert size is not None, "settled, or refused"
    where = [f"image {image['file_name']}, annotation {item.get('id')}" for item in objects]
    boxes, kept = check(box_ops.from_coco(annotated.astype(np.float32)), size, where)
    areas = [
        box[2] * box[3] if item.get("area") is None else number_of(item["area"])
        for item, box in zip(objects, annotated.tolist(), strict=True)
    ]
    example = Example(
        image_id=image_id,
        path=path,
        size=size,
        boxes=boxes,
        labels=np.array([labels[key_of(item["category_id"])] for item in objects], dtype=np.int64),
        crowd=np.array([flag_of(item.get("iscrowd", 0)) for item in objects], dtype=bool),
        difficult=np.array([flag_of(item.get("difficult", 0)) for item in objects], dtype=bool),
        annotated=annotated,
        areas=np.array(areas, dtype=np.float64),
    )
    return example.keep(kept)
