"""One image's annotation in PASCAL VOC's XML (Everingham et al. 2010); ImageNet DET has it too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.box_check import BoxCheck
from detection.data.dataset import Example
from detection.data.image import read_size

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """One XML file.

    ``name``: the file's, without its suffix.  ``size``: (height, width) of the picture.
    For each object its class in ``names``, its (xmin, ymin, xmax, ymax) as in the file in
    ``boxes``, and ``difficult``.
    """

    name: str
    size: tuple[int, int]
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]


def read_annotation(path: Path) -> Annotation:
    """Raises FileNotFoundError and ValueError, which name the file, the object and the value."""
    try:
        tree = parse(path).getroot()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no annotation for an image of the image set") from None
    except ParseError as error:
        raise ValueError(f"{path}: not valid XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"{path}: refused, it declares entities: {error}") from None
    # Direct children only: the <part>s of a person are inside the <object> and have boxes too.
    objects = {f"object {i}": item for i, item in enumerate(tree.findall("object"), start=1)}
    return Annotation(
        name=path.stem,
        size=(_length(tree, "size/height", f"{path}"), _length(tree, "size/width", f"{path}")),
        names=[_class_name(item, f"{path}, {where}") for where, item in objects.items()],
        boxes=[
            [_number(item, f"bndbox/{side}", f"{path}, {where}") for side in SIDES]
            for where, item in objects.items()
        ],
        difficult=[(item.findtext("difficult") or "0").strip() == "1" for item in objects.values()],
    )


def unannotated(path: Path) -> Annotation:
    """An image without an XML file: no objects; the size is read from the picture at ``path``."""
    return Annotation(path.stem, read_size(path), [], [], [])


def to_example(
    image_id: int,
    path: Path,
    annotation: Annotation,
    corners: NDArray[np.float32],
    labels: list[int],
    check: BoxCheck,
) -> Example:
    """The example of one image.

    ``corners``: [G, 4], the boxes in the convention of `detection.boxes`, not checked yet.
    """
    where = [
        f"{annotation.name}.xml, object {i} ({name})"
        for i, name in enumerate(annotation.names, start=1)
    ]
    boxes, kept = check(corners, annotation.size, where)
    annotated = box_ops.to_coco(corners).astype(np.float64)
    example = Example(
        image_id=image_id,
        path=path,
        size=annotation.size,
        boxes=boxes,
        labels=np.array(labels, dtype=np.int64),
        crowd=np.zeros(len(boxes), dtype=bool),
        difficult=np.array(annotation.difficult, dtype=bool),
        annotated=annotated,
        areas=np.prod(annotated[:, 2:], axis=1),
    )
    return example.keep(kept)


def _class_name(item: Element, where: str) -> str:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"{where} has no <name>")
    return name


def _number(element: Element, tag: str, where: str) -> float:
    text = element.findtext(tag)
    try:
        return float(text or "")
    except ValueError:
        raise ValueError(f"{where}: <{tag}> must be a number, got {text!r}") from None


def _length(element: Element, tag: str, where: str) -> int:
    value = _number(element, tag, where)
    if not 1 <= value < math.inf:
        raise ValueError(f"{where}: <{tag}> must be 1 or more, got {value:g}")
    return int(value)
