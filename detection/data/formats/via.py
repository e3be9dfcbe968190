"""The VGG Image Annotator's formats, version 2: its project or JSON, and its CSV.

A region's class is one of its attributes.  Where there are several, it is the first of
`CLASS_ATTRIBUTES`, or the only one with texts; else it must be renamed to "class".  Pictures
without regions were not annotated yet: they are counted and left out.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames
from detection.data.formats.pictures import (
    UNNAMED,
    AnnotatedPicture,
    pictures_of_others,
    refuse_missing,
    say_unlabelled,
    to_dataset,
)
from detection.data.formats.sniff import candidates, json_files
from detection.data.formats.splits import FilesOfSplits, by_name
from detection.data.formats.text_file import read_json, read_text
from detection.data.picture_files import find_pictures

CLASS_ATTRIBUTES = ("class", "label", "category", "object", "name", "type")

Entry = dict[str, Any]


class Via(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "VIA"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        files = json_files(root, "VIA")
        return by_name(root, files or [file for file in candidates(root, ".csv") if _is_csv(file)])

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        parts = self.parts(root)
        files = parts[split]
        entries = [(file, entry) for file in files for entry in _entries(file)]
        attribute = _class_attribute([entry for _, entry in entries], files[0], findings)
        base = root if root.is_dir() else root.parent
        names = FileNames(folders=[base], root=base, findings=findings, split=split)
        keyed, missing, own = [], [], set()
        for file, entry in entries:
            name = str(entry.get("filename", ""))
            path = names.find(name, near=file.parent)
            own.add(path)
            if path is None and str(entry.get("size")) == "-1":
                # VIA knows no size of pictures that it showed from the web, as its examples are.
                findings.repaired("picture from the web that is not here, left out", name)
            elif path is None:
                missing.append(name)
            elif _regions(entry):
                picture = _picture(path, entry, attribute, f"{file.name}, {name}", findings)
                keyed.append(((name.strip(), file.parent), picture))
        others = names.refuse_shared(files[0])
        pictures = [picture for key, picture in keyed if key not in others]
        refuse_missing(
            missing, len(entries), files[0], names.nearest(missing[0]) if missing else ""
        )
        folders = [base] if len(parts) == 1 else sorted({file.parent for file in files})
        there = dict.fromkeys(picture for folder in folders for picture in find_pictures(folder))
        elsewhere = pictures_of_others(parts, split, root=base, names_in=_names) - own
        unlabelled = [path for path in there if path not in elsewhere]
        say_unlabelled(unlabelled, [picture.path for picture in pictures], findings)
        return to_dataset(
            pictures,
            source=files[0],
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            check_images=check_images,
            has_sizes=False,
        )


def _names(file: Path, _split: str) -> list[str]:
    return [str(entry.get("filename", "")) for entry in _entries(file)]


def _is_csv(file: Path) -> bool:
    with file.open("rb") as opened:
        return b"region_shape_attributes" in opened.read(500)


def _entries(file: Path) -> list[Entry]:
    return _from_csv(file) if file.suffix.lower() == ".csv" else _from_json(file)


def _from_json(file: Path) -> list[Entry]:
    content = read_json(file)
    table = content.get("_via_img_metadata", content) if isinstance(content, dict) else {}
    return [entry for entry in table.values() if isinstance(entry, dict) and "filename" in entry]


def _from_csv(file: Path) -> list[Entry]:
    rows = csv.DictReader(io.StringIO(read_text(file).lstrip("#")))
    entries: dict[str, Entry] = {}
    for number, row in enumerate(rows, start=2):
        entry = entries.setdefault(
            row["filename"],
            {"filename": row["filename"], "size": row.get("file_size"), "regions": []},
        )
        try:
            shape = json.loads(row["region_shape_attributes"] or "{}")
            attributes = json.loads(row.get("region_attributes") or "{}")
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, row {number}: no valid JSON in it: {error}") from None
        if shape:
            entry["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    return list(entries.values())


def _regions(entry: Entry) -> list[Entry]:
    """Version 1 has a dictionary of them."""
    regions = entry.get("regions") or []
    return list(regions.values()) if isinstance(regions, dict) else list(regions)


def _class_attribute(entries: list[Entry], file: Path, findings: Findings) -> str | None:
    """None: the regions have no attributes at all, so that all are of one class."""
    counts: Counter[str] = Counter()
    for entry in entries:
        for region in _regions(entry):
            for key, value in (region.get("region_attributes") or {}).items():
                counts[key] += isinstance(value, str) or _chosen(value) is not None
    texts = [key for key, count in counts.items() if count]
    known = [key for wanted in CLASS_ATTRIBUTES for key in texts if key.casefold() == wanted]
    chosen = known[0] if known else texts[0] if len(texts) == 1 else None
    if chosen is None and texts:
        raise ValueError(
            f"{file}: which attribute of the regions is their class: {', '.join(texts)}? Rename it "
            'to "class"'
        )
    others = sorted(set(counts) - {chosen})
    if chosen is None:
        findings.repaired(f"regions without attributes: their class is called {UNNAMED}", file.name)
    elif others:
        findings.repaired(
            "choice among attributes", f"the class is {chosen!r}, not {', '.join(others)}"
        )
    return chosen


def _chosen(value: object) -> str | None:
    """Of a checkbox the one that is ticked."""
    ticked = [str(k) for k, on in value.items() if on] if isinstance(value, dict) else []
    return ticked[0] if len(ticked) == 1 else None


def _picture(
    path: Path, entry: Entry, attribute: str | None, where: str, findings: Findings
) -> AnnotatedPicture:
    picture = AnnotatedPicture(path)
    for number, region in enumerate(_regions(entry), start=1):
        place = f"{where}, region {number}"
        shape = region.get("shape_attributes") or {}
        value = (region.get("region_attributes") or {}).get(attribute, "")
        name = UNNAMED if attribute is None else _chosen(value) or str(value)
        try:
            corners = _corners(shape)
        except (KeyError, TypeError, ValueError) as error:
            findings.refuse(f"{place}: {shape} is no shape with a box: {error!r}")
            continue
        if corners is None:
            findings.repaired(f"{shape.get('name')}, which has no box, left out", place)
            continue
        if shape["name"] != "rect":
            findings.repaired(f"box taken from a {shape['name']}", place)
        picture.add(name, corners, place)
    return picture


def _corners(shape: Entry) -> tuple[float, float, float, float] | None:
    kind = shape["name"]
    if kind == "rect":
        x, y, w, h = (float(shape[key]) for key in ("x", "y", "width", "height"))
        return x, y, x + w, y + h
    if kind in ("circle", "ellipse"):
        x, y = float(shape["cx"]), float(shape["cy"])
        rx, ry = (float(shape[key if key in shape else "r"]) for key in ("rx", "ry"))
        return x - rx, y - ry, x + rx, y + ry
    if kind in ("polygon", "polyline"):
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))
    return None
