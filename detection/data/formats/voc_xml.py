"""One image's annotation in PASCAL VOC's XML (Everingham et al. 2010); ImageNet DET has it too."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.box_check import BoxCheck
from detection.data.dataset import Example
from detection.data.findings import Findings, collect
from detection.data.formats.flags import flag_of
from detection.data.formats.sizes import Size
from detection.data.formats.text_file import read_xml
from detection.data.image import read_size

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """One XML file.

    ``name``: the file's, without its suffix.  ``filename``: of the picture, as the file has it.
    ``size``: (height, width) of the picture; None where the file has none, or 0.
    For each object its class in ``names``, its (xmin, ymin, xmax, ymax) as in the file in
    ``boxes``, and ``difficult``.
    """

    name: str
    size: Size | None
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]
    filename: str = ""


def read_annotation(path: Path, findings: Findings, *, needs_size: bool) -> Annotation:
    """An object that is refused is left out; the caller ends with ``findings.finish()``.

    ``needs_size``: whether a file without a size is refused.
    Raises FileNotFoundError; and ValueError if the file is no XML at all.
    """
    try:
        tree = read_xml(path, findings)
    except FileNotFoundError:
        fault = (
            f"{path}: no annotation for an image of the image set; add it, without objects if "
            "nothing is to see, or take the image out of the list"
        )
        if not collect([fault]):
            raise FileNotFoundError(fault) from None
        return Annotation(path.stem, None, [], [], [])
    except ValueError as error:
        if not collect([str(error)]):
            raise
        return Annotation(path.stem, None, [], [], [])
    size = None
    try:
        size = (_length(tree, "size/height", f"{path}"), _length(tree, "size/width", f"{path}"))
    except ValueError as error:
        if needs_size or not _is_empty_size(tree):
            findings.refuse(str(error))
    names, boxes, difficult = [], [], []
    # Direct children only: the <part>s of a person are inside the <object> and have boxes too.
    for number, item in enumerate(tree.findall("object"), start=1):
        where = f"{path}, object {number}"
        if (item.findtext("deleted") or "").strip() == "1":  # LabelMe keeps them
            continue
        try:
            name, box = _class_name(item, where), _box(item, where, findings)
        except ValueError as error:
            findings.refuse(str(error))
            continue
        names.append(name)
        boxes.append(box)
        difficult.append(flag_of(item.findtext("difficult") or "0"))
    filename = (tree.findtext("filename") or "").strip()
    return Annotation(path.stem, size, names, boxes, difficult, filename)


def unannotated(path: Path) -> Annotation:
    """An image without an XML file: no objects; the size is read from the picture at ``path``."""
    return Annotation(path.stem, read_size(path), [], [], [])


def to_example(
    image_id: int,
    path: Path,
    annotation: Annotation,
    size: Size,
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
    boxes, kept = check(corners, size, where)
    annotated = box_ops.to_coco(corners).astype(np.float64)
    example = Example(
        image_id=image_id,
        path=path,
        size=size,
        boxes=boxes,
        labels=np.array(labels, dtype=np.int64),
        crowd=np.zeros(len(boxes), dtype=bool),
        difficult=np.array(annotation.difficult, dtype=bool),
        annotated=annotated,
        areas=np.prod(annotated[:, 2:], axis=1),
    )
    return example.keep(kept)


def corners_of(annotation: Annotation) -> NDArray[np.float32]:
    """VOC's 1-based inclusive boxes -> [G, 4] in the convention of `detection.boxes`."""
    return box_ops.from_voc(np.array(annotation.boxes, dtype=np.float32).reshape(-1, 4))


def _class_name(item: Element, where: str) -> str:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"{where} has no <name>; name it, or take the object out")
    return name


def _box(item: Element, where: str, findings: Findings) -> list[float]:
    boxes = item.findall("bndbox")
    if len(boxes) > 1:
        raise ValueError(f"{where} has {len(boxes)} <bndbox>; write an object for each")
    polygon = item.find("polygon")
    if not boxes and polygon is not None:
        corners = polygon.findall("pt")  # of LabelMe's XML; else x1, y1, x2, ...
        if corners:
            x, y = ([_number(corner, axis, where) for corner in corners] for axis in "xy")
            x, y = [min(x) + 1, max(x)], [min(y) + 1, max(y)]  # from 0, VOC's are from 1
        else:
            points = [_number(polygon, point.tag, where) for point in polygon]
            x, y = points[::2], points[1::2]
        if len(x) == len(y) > 1:
            findings.repaired("box missing, taken from the polygon", where)
            return [min(x), min(y), max(x), max(y)]
    return [_number(item, f"bndbox/{side}", where) for side in SIDES]


def _number(element: Element, tag: str, where: str) -> float:
    text = element.findtext(tag)
    try:
        return float(text or "")
    except ValueError:
        hint = "; write a point for the comma" if text and "," in text else ""
        raise ValueError(f"{where}: <{tag}> must be a number, got {text!r}{hint}") from None


def _length(element: Element, tag: str, where: str) -> int:
    value = _number(element, tag, where)
    if not 1 <= value < math.inf:
        raise ValueError(f"{where}: <{tag}> must be 1 or more, got {value:g}")
    return int(value)


def _is_empty_size(tree: Element) -> bool:
    """Whether a side is absent, empty, or 0: the work of a tool that could not read the picture."""
    texts = [(tree.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    known = [text for text in texts if text not in ("", "0", "0.0", "None")]
    return len(known) < 2 and all(re.fullmatch(r"\d+(\.\d+)?", text) for text in known)
