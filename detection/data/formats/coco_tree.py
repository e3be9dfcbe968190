"""Where COCO's files are: one JSON per split, and the folders of its pictures.

The trees that are recognised::

    root/annotations/instances_<split>.json   pictures in <split>/, images/<split>/ or images/
    root/annotations/image_info_<split>.json  of a test set: the same, without annotations
    root/instances_<split>.json               pictures in <split>/, images/ or beside it
    root/<split>/_annotations.coco.json       pictures beside it

A split may be a subset of the pictures of a year: those of minival2014 are found in val2014/, those
of test-dev2015 in test2015/.
"""

from __future__ import annotations

import re
from pathlib import Path


def list_splits(root: Path) -> list[str]:
    """The splits under ``root``, sorted."""
    found = {
        path.stem.removeprefix("instances_")
        for folder in (root, root / "annotations")
        for path in folder.glob("instances_*.json")
    }
    found |= {
        path.stem.removeprefix("image_info_")
        for path in (root / "annotations").glob("image_info_*.json")
    }
    found |= {path.parent.name for path in root.glob("*/_annotations.coco.json")}
    return sorted(found)


def find_split(root: Path, split: str) -> tuple[Path, Path] | None:
    """The annotations of ``split`` and the folder of its pictures; None if there are none."""
    usual = (root / split, root / "images" / split, *_year_folders(root, split), root / "images")
    for file, folders in (
        (root / "annotations" / f"instances_{split}.json", usual),
        (root / "annotations" / f"image_info_{split}.json", usual),
        (root / f"instances_{split}.json", (root / split, root / "images", root)),
        (root / split / "_annotations.coco.json", (root / split,)),
    ):
        if file.is_file():
            return file, next((folder for folder in folders if folder.is_dir()), folders[0])
    return None


def _year_folders(root: Path, split: str) -> list[Path]:
    """The folders of the year that ``split`` is a subset of: val2014/ for minival2014."""
    whole = split.replace("-dev", "")
    return [
        folder
        for parent in (root, root / "images")
        for folder in (sorted(parent.iterdir()) if parent.is_dir() else ())
        if folder.is_dir() and re.search(r"\d", folder.name) and whole.endswith(folder.name)
    ]
