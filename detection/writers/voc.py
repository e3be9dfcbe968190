"""voc/: an annotation in PASCAL VOC's XML for each picture (Everingham et al. 2010)."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from detection import boxes as box_ops
from detection.atomic_write import write_text
from detection.visualization.image import Image
from detection.writers.writer import Outputs, PictureRecord, Stems

SIDES = ("xmin", "ymin", "xmax", "ymax")


class VocWriter:
    """Boxes in VOC's convention, 1-based and inclusive, with decimals; a ``score`` beside each.

    ``names``: the pictures; ``frames_of``: the videos, whose frames have files in a folder each.
    """

    def __init__(
        self, *, folder: Path, names: Sequence[str], frames_of: Sequence[str] = ()
    ) -> None:
        self._folder, self._stems = folder / "voc", Stems(names)
        self.outputs = Outputs(
            files=[f"voc/{self._stems[name]}.xml" for name in names],
            patterns=[f"voc/{glob.escape(video)}/*.xml" for video in frames_of],
            folders=("voc",),
        )

    def add(self, record: PictureRecord, image: Image) -> None:
        path = PurePosixPath(record.name)
        root = Element("annotation")
        _text(root, "folder", path.parent.name)
        _text(root, "filename", path.name)
        size = SubElement(root, "size")
        for tag, length in zip(("width", "height", "depth"), _size(image), strict=True):
            _text(size, tag, str(length))
        _text(root, "segmented", "0")
        for found in record.detections:
            root.append(_object(found["class_name"], found["bbox"], found["score"]))
        indent(root)
        text = tostring(root, encoding="unicode", xml_declaration=False)
        write_text(self._folder / f"{self._stems[record.name]}.xml", text + "\n")

    def finish(self, records: Iterable[PictureRecord]) -> None:
        """Nothing belongs to all pictures."""


def _object(class_name: str, bbox: Sequence[float], score: float) -> Element:
    element = Element("object")
    _text(element, "name", class_name)
    _text(element, "difficult", "0")
    _text(element, "score", f"{score:.6f}")
    x, y, width, height = bbox
    corners = box_ops.to_voc(np.array([x, y, x + width, y + height]))
    box = SubElement(element, "bndbox")
    for side, value in zip(SIDES, corners.tolist(), strict=True):
        _text(box, side, f"{value:.3f}".rstrip("0").rstrip("."))
    return element


def _size(image: Image) -> tuple[int, int, int]:
    return image.shape[1], image.shape[0], image.shape[2]


def _text(parent: Element, tag: str, text: str) -> None:
    # XML has no sign for most control characters, not even an escaped one.
    SubElement(parent, tag).text = "".join(c if c >= " " or c in "\t\n" else "_" for c in text)
