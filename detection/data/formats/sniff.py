"""What a file of annotations is, told by what stands in it, not by its name."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from detection.data.picture_files import find_files

Kind = Literal["COCO", "LabelMe", "VIA"]

# The words that each format's JSON has; the first that fits is it.
_WORDS: tuple[tuple[Kind, tuple[bytes, ...]], ...] = (
    ("VIA", (b'"regions"', b'"filename"')),
    ("LabelMe", (b'"shapes"', b'"imagePath"')),
    ("COCO", (b'"images"', b'"annotations"', b'"categories"')),
)
# Of a folder with one JSON per picture so many are looked at before the rest is believed.
_LOOKED_AT = 20


def kind_of_json(path: Path) -> Kind | None:
    """By the words in it, without parsing: COCO's annotations may have hundreds of megabytes."""
    try:
        # UTF-16's letters have zeros between them.
        data = path.read_bytes().replace(b"\0", b"")
    except OSError:
        return None
    for kind, words in _WORDS:
        if all(word in data for word in words):
            return kind
    return None


def json_files(root: Path, kind: Kind) -> list[Path]:
    """The JSON files of this kind under ``root``, or ``root`` itself.

    Where the first files of a folder are all of one kind, the others are taken for the same.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in candidates(root, ".json"):
        folders[path.parent].append(path)
    found = []
    for files in folders.values():
        kinds = [kind_of_json(path) for path in files[:_LOOKED_AT]]
        rest = kinds[0] if len(set(kinds)) == 1 else None
        if rest is None:
            kinds += [kind_of_json(path) for path in files[_LOOKED_AT:]]
        else:
            kinds += [rest] * (len(files) - len(kinds))
        found += [path for path, its in zip(files, kinds, strict=True) if its == kind]
    return found


def candidates(root: Path, suffix: str) -> list[Path]:
    """The files under ``root`` with this suffix, or ``root`` itself if it has it."""
    if root.is_file():
        return [root] if root.suffix.lower() == suffix else []
    return [path for path in find_files(root) if path.suffix.lower() == suffix]
