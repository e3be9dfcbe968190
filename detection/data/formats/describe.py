"""A folder that no format recognises: what is in it, what is missing, and the nearest layout."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from detection.data.formats.csv_columns import lacking, rows_of
from detection.data.formats.text_file import decode, read_json, read_xml
from detection.data.formats.yolo_yaml import absent_paths, find_yamls
from detection.data.picture_files import find_files, is_picture_name

# Suffixes of what holds a data set but is not read as it stands.
_ARCHIVES = {
    ".zip": "unpack it",
    ".tar": "unpack it",
    ".gz": "unpack it",
    ".7z": "unpack it",
    ".rar": "unpack it",
    ".tfrecord": "export it as COCO or VOC",
    ".record": "export it as COCO or VOC",
    ".parquet": "export it as COCO or CSV",
    ".mat": "export it as COCO or CSV",
    ".jsonl": "export it as COCO or CSV",
    ".xlsx": "save it as CSV",
}
_MANY = 5


def describe(root: Path) -> str:
    """Sentences, each with its full stop."""
    files = find_files(root) if root.is_dir() else [root]
    if not files:
        return "the folder is empty."
    pictures = [file for file in files if is_picture_name(file.name)]
    others = Counter(file.suffix.lower() or file.name for file in files if file not in pictures)
    found = [f"{len(pictures)} pictures"] if pictures else ["no pictures"]
    found += [f"{count} {suffix}" for suffix, count in others.most_common(_MANY)]
    hints = [hint for file in files if (hint := _hint(file, root))][:_MANY]
    if not hints:
        hints = [_nearest(others, pictures)]
    return f"there are {', '.join(found)}. " + " ".join(f"{hint}." for hint in hints)


def _hint(file: Path, root: Path) -> str:
    """What a file lacks to be read; "" if it says nothing."""
    name = str(file.relative_to(root)) if file != root else file.name
    suffix = file.suffix.lower()
    try:
        if suffix in _ARCHIVES:
            return f"{name}: {_ARCHIVES[suffix]}"
        if suffix == ".json":
            return _about_json(file, name)
        if suffix == ".xml":
            return (
                f"{name} has <{read_xml(file).tag}>: VOC's has <annotation>, CVAT's <annotations>"
            )
        if suffix in (".yaml", ".yml"):
            absent = absent_paths(find_yamls(file))
            return f"{absent[0]} is not there; correct the path in {name}" if absent else ""
        if suffix in (".csv", ".tsv"):
            with file.open("rb") as opened:
                line = next(iter(decode(opened.read(1000))[0].splitlines()), "nothing")
            lacks = lacking(next(iter(rows_of(line)), []))
            return (
                f"{name} begins with {line[:120]!r}: {lacks}; name them as in "
                "filename,class,xmin,ymin,xmax,ymax"
            )
    except (OSError, ValueError, csv.Error) as error:
        return str(error)
    return ""


def _about_json(file: Path, name: str) -> str:
    content = read_json(file)
    if isinstance(content, list):
        first = json.dumps(content[0])[:80] if content else "nothing"
        return f"{name} is a list of {first}: export it as COCO (images, annotations, categories)"
    if not isinstance(content, dict):
        return f"{name} is no table of anything"
    keys = list(content)[:8]
    lacking = [key for key in ("images", "annotations", "categories") if key not in content]
    if len(lacking) < 3:
        return f"{name} is COCO's but for {', '.join(lacking)}, which it lacks"
    return f"{name} has {', '.join(map(repr, keys))}: none of COCO's, LabelMe's or VIA's"


def _nearest(others: Counter[str], pictures: list[Path]) -> str:
    if others[".txt"] and pictures:
        return (
            "Nearest is YOLO: a .txt of the name of each picture in labels/ beside images/, lines "
            "'class x y width height' from 0 to 1, and classes.txt"
        )
    if others[".yaml"] or others[".yml"]:
        return "Nearest is YOLO: a data.yaml with names, and train: the folder of the pictures"
    if pictures:
        return (
            "Annotations are missing: a COCO JSON, VOC's XML or YOLO's .txt files beside the "
            "pictures, or a CSV"
        )
    return "Neither pictures nor annotations are there; look one folder up or down"
