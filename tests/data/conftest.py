"""Small data sets on disk, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

WritePicture = Callable[..., None]


@pytest.fixture(scope="session")
def write_picture() -> WritePicture:
    """(path, height, width) -> a grey picture there."""

    def write(path: Path, height: int, width: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((height, width, 3), 128, dtype=np.uint8))

    return write


@pytest.fixture
def coco() -> dict[str, Any]:
    """Three pictures, one without objects; categories with gaps, out of order."""
    return {
        "images": [
            {"id": 42, "file_name": "b.jpg", "height": 60, "width": 80},
            {"id": 7, "file_name": "a.jpg", "height": 50, "width": 40},
            {"id": 9, "file_name": "empty.jpg", "height": 30, "width": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 42, "category_id": 90, "bbox": [10, 20, 30, 40], "area": 700},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1.5, 2, 20.25, 10]},
            {"id": 3, "image_id": 42, "category_id": 3, "bbox": [0, 0, 80, 60], "iscrowd": 1},
            {"id": 4, "image_id": 42, "category_id": 17, "bbox": [5, 5, 5, 5], "difficult": 1},
        ],
        "categories": [
            {"id": 90, "name": "toothbrush"},
            {"id": 3, "name": "car"},
            {"id": 17, "name": "cat"},
        ],
    }


@pytest.fixture
def write_coco(write_picture: WritePicture) -> Callable[..., Path]:
    """Writes the annotations as ``root``/annotations/instances_``split``.json, and the pictures."""

    def write(
        root: Path, content: dict[str, Any], split: str = "train", images: str | None = None
    ) -> Path:
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        for image in content["images"]:
            picture = root / (images or split) / image["file_name"]
            write_picture(picture, image["height"], image["width"])
        return path

    return write


VOC_OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
{extra}</object>"""


@pytest.fixture(scope="session")
def voc_object() -> Callable[..., str]:
    """The XML of one object; ``box`` is 1-based and inclusive."""

    def write(name: str, box: tuple[Any, ...], difficult: object = 0, extra: str = "") -> str:
        return VOC_OBJECT.format(name=name, box=box, difficult=difficult, extra=extra)

    return write


@pytest.fixture(scope="session")
def write_voc(write_picture: WritePicture) -> Callable[..., Path]:
    """Writes a VOC folder of 80 x 60 pictures: ``objects`` is the XML of each picture's objects."""

    def write(root: Path, objects: dict[str, str], split: str = "train") -> Path:
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(objects) + "\n")
        for name, inside in objects.items():
            (root / "Annotations" / f"{name}.xml").write_text(
                "<annotation><size><width>80</width><height>60</height><depth>3</depth></size>"
                f"{inside}</annotation>"
            )
            write_picture(root / "JPEGImages" / f"{name}.jpg", 60, 80)
        return root

    return write
