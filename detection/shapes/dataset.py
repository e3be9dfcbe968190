"""The built-in data set ``shapes``: drawn scenes with seven classes of objects, in two formats.

For demonstrations and tests without a download; `detection.shapes.scenes` describes the pictures.
On disk, under one root::

    annotations/instances_<split>.json    COCO; category ids with gaps, as in COCO itself
    <split>/<split>_<index>.jpg           the images
    VOC/JPEGImages/                       the same files, linked
    VOC/Annotations/<split>_<index>.xml   VOC; 1-based inclusive integers
    VOC/ImageSets/Main/<split>.txt
    shapes.json                           the parameters, to recognise the same data again

All boxes have edges at whole numbers, so both formats contain exactly the same boxes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from detection import boxes as box_ops
from detection.shapes.outlines import CLASS_NAMES
from detection.shapes.scenes import Recipe, Scene, draw_scene

logger = logging.getLogger(__name__)

# The gaps are deliberate: code that uses a category id as a class index fails on this data.
CATEGORY_IDS = dict(zip(CLASS_NAMES, (1, 2, 4, 7, 8, 11, 13), strict=True))

# Stored with the parameters; it must increase with every change of what a seed draws.
VERSION = 5

JPEG_QUALITY = 92


def generate(
    *,
    root: Path,
    splits: dict[str, int],
    seed: int,
    image_side: int = 320,
    max_objects: int = 6,
    empty_fraction: float = 0.05,
    typical_colours: float = 1.0,
) -> Path:
    """Writes the data set under ``root`` in both formats; returns ``root``.

    ``splits``: number of images by split name, e.g. ``{"train": 1000, "val": 200}``.
    The others: see `Recipe`.

    Image ``i`` of a split does not depend on the number of images.  If ``root`` already contains
    the data of the same parameters, nothing is done.  ``root`` appears only when it is complete: an
    interrupted run leaves nothing.

    Raises ValueError for values out of range, and if ``root`` contains anything else.
    """
    recipe = Recipe(
        seed=seed,
        image_side=image_side,
        max_objects=max_objects,
        empty_fraction=empty_fraction,
        typical_colours=typical_colours,
    )
    check_splits(splits)
    root = Path(root)
    record = {"version": VERSION, "splits": dict(splits), **asdict(recipe)}
    if holds(root, record):
        logger.info("%s holds these shapes already: nothing to generate", root)
        return root
    with written_whole(root, record) as data:
        for split, count in splits.items():
            _write_split(data, split, count, recipe)
    logger.info("generated %d images of shapes in %s", sum(splits.values()), root)
    return root


@contextmanager
def written_whole(root: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Yields a folder that becomes ``root``, with ``record`` in it, when it is complete.

    An interrupted run leaves nothing.  ``root``: see :func:`holds`.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as staging:
        # In a folder inside, because only its owner can read the temporary folder itself.
        data = Path(staging) / "data"
        yield data
        (data / "shapes.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if root.exists():
            root.rmdir()
        data.rename(root)


def check_splits(splits: dict[str, int]) -> None:
    """Raises ValueError for a split without a usable name, or without images."""
    if not splits:
        raise ValueError('splits is empty: give at least one, e.g. {"train": 1000, "val": 200}')
    for split, count in splits.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", split) or split in ("annotations", "VOC"):
            raise ValueError(
                f"split {split!r} cannot name a folder: use letters, digits, '-' and '_', "
                "and neither 'annotations' nor 'VOC'"
            )
        if count < 1:
            raise ValueError(f"split {split!r} must have at least 1 image, got {count}")


def holds(root: Path, record: dict[str, Any]) -> bool:
    """Whether ``root`` contains the data of ``record``; ValueError if it contains anything else."""
    remedy = "remove it, or choose another root"
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file, root must be a folder: {remedy}")
    if not root.exists() or not any(root.iterdir()):
        return False
    path = root / "shapes.json"
    if not path.is_file():
        raise ValueError(f"{root} is not empty and holds no generated shapes: {remedy}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {remedy}") from error
    if found == record:
        return True
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not describe generated shapes: {remedy}")
    keys = [key for key in record if found.get(key) != record[key]]
    differences = ", ".join(f"{k}: {found.get(k)!r} instead of {record[k]!r}" for k in keys)
    raise ValueError(f"{root} holds other shapes ({differences}): {remedy}")


def _write_split(root: Path, split: str, count: int, recipe: Recipe) -> None:
    voc = root / "VOC"
    for folder in (root / split, root / "annotations", voc / "JPEGImages", voc / "Annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    names, coco = [], _empty_coco()
    for index in tqdm(range(count), desc=f"shapes {split}", unit="image", disable=None):
        scene = draw_scene(recipe=recipe, split=split, index=index)
        name = f"{split}_{index:06d}"
        write_jpeg(root / split / f"{name}.jpg", scene.image)
        _link(root / split / f"{name}.jpg", voc / "JPEGImages" / f"{name}.jpg")
        _append_coco(coco, scene, index + 1, f"{name}.jpg")
        _write_voc(voc / "Annotations" / f"{name}.xml", scene, f"{name}.jpg")
        names.append(name)
    (root / "annotations" / f"instances_{split}.json").write_text(
        json.dumps(coco), encoding="utf-8"
    )
    lists = voc / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """``image``: uint8 [H, W, 3], BGR."""
    encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert encoded
    path.write_bytes(data.tobytes())


def _link(source: Path, target: Path) -> None:
    """One file with two names; a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _empty_coco() -> dict[str, Any]:
    categories = [
        {"id": number, "name": name, "supercategory": "shape"}
        for name, number in CATEGORY_IDS.items()
    ]
    return {"images": [], "annotations": [], "categories": categories}


def _append_coco(coco: dict[str, Any], scene: Scene, image_id: int, file_name: str) -> None:
    height, width = scene.image.shape[:2]
    coco["images"].append(
        {"id": image_id, "file_name": file_name, "width": width, "height": height}
    )
    for item in scene.objects:
        box = box_ops.to_coco(np.array(item.box, np.float32))
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": CATEGORY_IDS[item.name],
                "bbox": box.astype(int).tolist(),
                "area": item.area,
                "iscrowd": 0,
                "difficult": int(item.difficult),
            }
        )


def _write_voc(path: Path, scene: Scene, file_name: str) -> None:
    height, width, depth = scene.image.shape
    annotation = ET.Element("annotation")
    add_texts(annotation, folder="VOC", filename=file_name)
    add_texts(ET.SubElement(annotation, "size"), width=width, height=height, depth=depth)
    add_texts(annotation, segmented=0)
    for item in scene.objects:
        element = ET.SubElement(annotation, "object")
        flags = {"truncated": int(item.truncated), "difficult": int(item.difficult)}
        add_texts(element, name=item.name, pose="Unspecified", **flags)
        corners = box_ops.to_voc(np.array(item.box, np.float32)).astype(int).tolist()
        names = ("xmin", "ymin", "xmax", "ymax")
        add_texts(ET.SubElement(element, "bndbox"), **dict(zip(names, corners, strict=True)))
    ET.indent(annotation)
    path.write_text(ET.tostring(annotation, encoding="unicode") + "\n", encoding="utf-8")


def add_texts(parent: ET.Element, **texts: object) -> None:
    """Elements by the names of their tags."""
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
