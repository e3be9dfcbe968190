"""LabelMe's format (wkentaro/labelme): one JSON beside each picture.

``shapes`` are rectangles of any two opposite corners, polygons, circles and others; the box of a
shape spans its points.  Points alone have no box.  A picture's name is ``imagePath``, or that of
the JSON.  Folders called train, val, test and the like are the splits.  A JSON without shapes says
that there is nothing to see; a picture without a JSON says nothing, and is left out.

supervision reads this format too, but brings video and plotting libraries of 260 MB with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames
from detection.data.formats.pictures import (
    AnnotatedPicture,
    refuse_missing,
    say_unlabelled,
    to_dataset,
)
from detection.data.formats.sniff import json_files
from detection.data.formats.splits import FilesOfSplits, by_folder
from detection.data.formats.text_file import read_json
from detection.data.picture_files import find_pictures


class LabelMe(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "LabelMe"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        return by_folder(root, json_files(root, "LabelMe"))

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        files = self.parts(root)[split]
        base = root if root.is_dir() else root.parent
        names = FileNames(folders=[base], root=base, findings=findings, split=split)
        keyed, missing = [], []
        for file in files:
            content = read_json(file)
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                findings.refuse(f"{file}: no list of shapes; it is not LabelMe's, take it away")
                continue
            name = named = str(content.get("imagePath") or file.stem)
            path = names.find(name, near=file.parent)
            if path is None:
                name = file.stem
                path = names.find(name, near=file.parent, say=False)
            if path is None:
                missing.append(named)
                continue
            picture = _picture(path, content, file, findings)
            keyed.append(((name.strip(), file.parent), picture))
        others = names.refuse_shared(root)
        pictures = [picture for key, picture in keyed if key not in others]
        refuse_missing(missing, len(files), root, names.nearest(missing[0]) if missing else "")
        if root.is_dir():
            there = by_folder(root, find_pictures(root)).get(split, [])
            say_unlabelled(there, [picture.path for picture in pictures], findings)
        return to_dataset(
            pictures,
            source=root,
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            check_images=check_images,
            replaced="keep",
        )


def _picture(
    path: Path, content: dict[str, Any], file: Path, findings: Findings
) -> AnnotatedPicture:
    sides = (content.get("imageHeight"), content.get("imageWidth"))
    size = (sides[0], sides[1]) if all(isinstance(s, int) and s > 0 for s in sides) else None
    picture = AnnotatedPicture(path, size)  # type: ignore[arg-type]
    places: dict[tuple[str, int | str], int] = {}  # of each group, in the picture's lists
    for number, shape in enumerate(content["shapes"], start=1):
        where = f"{file}, shape {number}"
        if not isinstance(shape, dict):
            findings.refuse(f"{where} is {shape!r}; expected an object {{...}}")
            continue
        kind = str(shape.get("shape_type") or "polygon")
        try:
            points = [(float(x), float(y)) for x, y in shape["points"]]
        except (KeyError, TypeError, ValueError):
            findings.refuse(f"{where}: points {shape.get('points')!r}; expected [[x, y], ...]")
            continue
        if kind == "point" or len(points) < 2:
            findings.repaired(f"{kind} of {len(points)} points, which has no box, left out", where)
            continue
        if kind == "circle":
            (x, y), edge = points[0], points[1]
            radius = math.dist((x, y), edge)
            points = [(x - radius, y - radius), (x + radius, y + radius)]
        elif kind != "rectangle":
            findings.repaired(f"box taken from a {kind}", where)
        xs, ys = zip(*points, strict=True)
        corners = (min(xs), min(ys), max(xs), max(ys))
        label = str(shape.get("label") or "")
        is_difficult = shape.get("difficult") is True
        group = shape.get("group_id")
        if kind not in ("rectangle", "circle") and isinstance(group, (int, str)):
            # Outlines of one label and group are one object, as in labelme's own converters.
            place = places.setdefault((label, group), len(picture.names))
            if place < len(picture.names):
                picture.corners[place] = _around(picture.corners[place], corners)
                picture.difficult[place] |= is_difficult
                findings.repaired("outlines of one group_id, one object", where)
                continue
        picture.add(label, corners, where, difficult=is_difficult)
    return picture


def _around(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float, float]:
    """The box around two."""
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )
