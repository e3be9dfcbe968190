"""Data sets in PASCAL VOC's format (Everingham et al. 2010): one XML file per image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.dataset import BoxCheck, DetectionDataset, Example, InvalidBoxes
from detection.data.image import SUFFIXES, read_size

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """One XML file: the picture's size (height, width), then one entry per object.

    ``boxes``: (xmin, ymin, xmax, ymax) as in the file.
    """

    name: str
    size: tuple[int, int]
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]


def read_voc(
    *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
) -> DetectionDataset:
    """Reads ``root``/ImageSets/Main/``split``.txt and the XML files it names.

    The classes are VOC's twenty where no other occurs, else those that occur, sorted.  Image ids
    are 1, 2, ... in the order of the list.  ``check_images=False`` does without the pictures (to
    evaluate saved detections).  A split "test..." of which no image has an XML file is one whose
    annotations are not published.
    Raises FileNotFoundError and ValueError, naming the file, the object and the value.
    """
    names = _read_image_set(root, split)
    files = [root / "Annotations" / f"{name}.xml" for name in names]
    # Of any other split an absence of all annotations is a mistake, not a secret.
    annotated = not split.startswith("test") or any(file.is_file() for file in files)
    paths = image_paths(root / "JPEGImages", names, check=check_images)
    if annotated:
        annotations = [read_annotation(file) for file in files]
    else:
        annotations = [unannotated(path) for path in paths]
    found = {name for annotation in annotations for name in annotation.names}
    class_names = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
    label_of = {name: label for label, name in enumerate(class_names, start=1)}

    source = root / "ImageSets" / "Main" / f"{split}.txt"
    check = BoxCheck(source=source, on_invalid=invalid_boxes)
    examples = []
    for image_id, (path, annotation) in enumerate(zip(paths, annotations, strict=True), start=1):
        given = np.array(annotation.boxes, dtype=np.float32).reshape(-1, 4)
        labels = [label_of[name] for name in annotation.names]
        boxes = box_ops.from_voc(given)
        examples.append(to_example(image_id, path, annotation, boxes, labels, check))
    check.finish()
    ids = tuple(range(1, len(class_names) + 1))
    return DetectionDataset(class_names, ids, examples, source, annotated)


def to_example(
    image_id: int,
    path: Path,
    annotation: Annotation,
    given: NDArray[np.float32],
    labels: list[int],
    check: BoxCheck,
) -> Example:
    """The objects of one image, ``given`` [G, 4] their boxes in our convention, checked."""
    where = [
        f"{annotation.name}.xml, object {i} ({name})"
        for i, name in enumerate(annotation.names, start=1)
    ]
    boxes, kept = check(given, annotation.size, where)
    annotated = box_ops.to_coco(given).astype(np.float64)
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


def unannotated(path: Path) -> Annotation:
    """An image without an XML file: no objects, and the size that its own file says."""
    return Annotation(path.stem, read_size(path), [], [], [])


def _read_image_set(root: Path, split: str) -> list[str]:
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        splits = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
        raise FileNotFoundError(
            f"{path}: no such image set; there are {', '.join(splits) or 'none'}"
        )
    # Lists of one class ("dog_train.txt") have a second column, 1 / -1 / 0; names may have spaces.
    lines = (line.strip() for line in path.read_text().splitlines())
    names = [re.sub(r"\s+(1|0|-1)$", "", line) for line in lines if line]
    if not names:
        raise ValueError(f"{path}: the image set is empty")
    return names


def image_paths(folder: Path, names: list[str], *, check: bool) -> list[Path]:
    """The pictures of ``names``; with ``check=False`` where they would be, as .jpg."""
    if not check:
        return [folder / f"{name}.jpg" for name in names]
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    present = {p.stem: p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}
    missing = [name for name in names if name not in present]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(names)} images are missing, the first is "
            f"{missing[0]}; check the folder, or take them out of the image set"
        )
    return [present[name] for name in names]


def read_annotation(path: Path) -> Annotation:
    """Raises FileNotFoundError and ValueError, naming the file, the object and the value."""
    try:
        tree = parse(path).getroot()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no annotation for an image of the image set") from None
    except ParseError as error:
        raise ValueError(f"{path}: not valid XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"{path}: refused, it declares entities: {error}") from None
    # Direct children only: the parts of a person are nested in it and have boxes of their own.
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
