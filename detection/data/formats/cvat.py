"""CVAT's own XML, "CVAT for images 1.1": all pictures of a task or a job in one file.

The pictures lie beside it, in images/ or anywhere below; CVAT names them with the folders of the
task or without.  A picture's ``subset`` is its split, if the file has several.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree.ElementTree import Element

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames
from detection.data.formats.format import ALL
from detection.data.formats.pictures import AnnotatedPicture, refuse_missing, to_dataset
from detection.data.formats.sniff import candidates
from detection.data.formats.splits import FilesOfSplits, by_name
from detection.data.formats.text_file import decode, read_text, read_xml

_SUBSET = re.compile(r'<image\s[^>]*\bsubset="([^"]+)"')
_SIDES = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = ("polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton", "tag")


class CvatImages(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "CVAT for images"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        files = [file for file in candidates(root, ".xml") if _is_cvat(file)]
        if len(files) != 1:
            return by_name(root, files)
        subsets = sorted(set(_SUBSET.findall(read_text(files[0]))))
        return dict.fromkeys(subsets, files) if len(subsets) > 1 else {ALL: files}

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        files = self.parts(root)[split]
        pictures: list[AnnotatedPicture] = []
        missing: list[str] = []
        classes: dict[str, None] = {}
        nearest = ""
        total = 0
        for file in files:
            tree = read_xml(file, findings)
            if tree.find("track") is not None:
                raise ValueError(
                    f"{file}: CVAT for video (it has <track>); export it as CVAT for images 1.1"
                )
            classes |= dict.fromkeys(
                (label.findtext("name") or "").strip() for label in tree.iter("label")
            )
            base = root if root.is_dir() else root.parent
            names = FileNames(
                folders=[file.parent / "images", file.parent],
                root=base,
                findings=findings,
                split=split,
            )
            images = tree.findall("image")
            if len(files) == 1 and split != ALL:
                images = [image for image in images if image.get("subset") == split]
            total += len(images)
            keyed = []
            for image in images:
                name = image.get("name", "")
                path = names.find(name) if check_images else file.parent / name
                if path is None:
                    missing.append(name)
                    nearest = nearest or names.nearest(name)
                else:
                    picture = _picture(path, image, f"{file.name}, image {name}", findings)
                    keyed.append(((name.strip(), None), picture))
            others = names.refuse_shared(file)
            pictures += [picture for key, picture in keyed if key not in others]
        refuse_missing(missing, total, files[0], nearest)
        return to_dataset(
            pictures,
            source=files[0],
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            class_names=_all_names(classes, pictures),
            check_images=check_images,
        )


def _is_cvat(file: Path) -> bool:
    with file.open("rb") as opened:
        return "<annotations>" in decode(opened.read(2000))[0]


def _all_names(classes: dict[str, None], pictures: list[AnnotatedPicture]) -> list[str]:
    """Those of the task in its order, then others that occur."""
    used = sorted({name.strip() for picture in pictures for name in picture.names})
    return list(dict.fromkeys([*(name for name in classes if name), *used]))


def _picture(path: Path, image: Element, where: str, findings: Findings) -> AnnotatedPicture:
    try:
        size = (int(image.get("height", "")), int(image.get("width", "")))
        picture = AnnotatedPicture(path, size if min(size) > 0 else None)
    except ValueError:
        picture = AnnotatedPicture(path)
    for number, shape in enumerate(image, start=1):
        place = f"{where}, {shape.tag} {number}"
        try:
            corners = _corners(shape)
        except (TypeError, ValueError) as error:
            findings.refuse(f"{place}: {dict(shape.attrib)} is no {shape.tag}: {error}")
            continue
        if corners is not None:
            if shape.tag != "box":
                findings.repaired(f"box taken from a {shape.tag}", place)
            elif float(shape.get("rotation") or 0):
                findings.repaired("box around a rotated one", place)
            picture.add(shape.get("label", ""), corners, place)
        elif shape.tag in _SHAPES:
            findings.repaired(f"{shape.tag}, which has no box, left out", place)
    return picture


def _corners(shape: Element) -> tuple[float, float, float, float] | None:
    if shape.tag == "box":
        x1, y1, x2, y2 = (float(shape.get(side, "")) for side in _SIDES)
        angle = math.radians(float(shape.get("rotation") or 0))
        if not angle:
            return x1, y1, x2, y2
        # The rectangle around one that is turned about its centre.
        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        half = ((w * cos + h * sin) / 2, (w * sin + h * cos) / 2)
        return x - half[0], y - half[1], x + half[0], y + half[1]
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(shape.get(key, "")) for key in ("cx", "cy", "rx", "ry"))
        return x - rx, y - ry, x + rx, y + ry
    if shape.tag == "mask":
        x, y, w, h = (float(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        return x, y, x + w, y + h
    if shape.tag in ("polygon", "polyline"):
        points = [point.split(",") for point in shape.get("points", "").split(";")]
        xs, ys = zip(*((float(x), float(y)) for x, y in points), strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    return None
