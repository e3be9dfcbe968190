"""Where YOLO's files are: the pictures of each split, the label file of a picture, the class names.

root/data.yaml                    names, and a folder or list for each of train, val, test; its
                                  paths count from itself, from its ``path``, or from a folder
                                  that is not there any more: ../train/images is train/images
root/{images,labels}/             or {images,labels}/train, or train/{images,labels}
root/classes.txt                  without a yaml, also obj.names or notes.json: a name per line
root/*.jpg  root/*.txt            labels beside the pictures
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detection.data.data_root import leads_out, refuse_outside, widen
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames, fold
from detection.data.formats.splits import by_folder
from detection.data.formats.text_file import read_json, read_lines, read_yaml
from detection.data.picture_files import find_files, find_pictures

SPLITS = ("train", "val", "valid", "validation", "test")
# Text files that are no labels.
NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")


@dataclass(frozen=True)
class YoloTree:
    """``base``: the folder of it all.  ``names``: None where no file has them.

    ``splits``: the pictures of each.  ``labels``: the .txt files by their path without suffix, and
    by the same with the name folded, where it is the only one.  ``absent``: what the yaml names and
    is not there.
    """

    base: Path
    source: Path
    names: list[str] | None
    splits: dict[str, list[Path]]
    labels: dict[Path, Path]
    absent: list[str] = field(default_factory=list)

    def label_of(self, picture: Path) -> Path | None:
        """The label file of a picture; None if it was never labelled."""
        for folder in _label_folders(picture, self.base):
            for key in (folder / picture.stem, folder / fold(picture.stem)):
                if key in self.labels:
                    return self.labels[key]
        return None


def find_tree(root: Path) -> YoloTree | None:
    """None if there is no such data set at ``root``.

    Raises ValueError for a data.yaml whose names are none.
    """
    found = _find_yaml(root)
    if found is not None:
        file, content = found
        base = file.parent
        if root.is_file() and content.get("path"):
            widen(base / str(content["path"]))  # who names the file itself has read it
        splits = {
            key: pictures
            for key in SPLITS
            if (pictures := _pictures_of(content.get(key), content.get("path"), file))
        }
        try:
            names = _names_in(content["names"]) if content.get("names") else _find_names(base)
        except ValueError:
            raise ValueError(
                f"{file}: names must be a list, or a table of numbers and names; got "
                f"{content['names']!r}"
            ) from None
        absent = [
            f"{key}: {content[key]}" for key in SPLITS if content.get(key) and key not in splits
        ]
        path = base / str(content.get("path") or "")
        labels = _labels(base)
        if not (path.is_relative_to(base) or leads_out(path)):
            labels = _labels(path) | labels
        return YoloTree(base, file, names, splits, labels, absent) if splits else None
    if not root.is_dir():
        return None
    pictures = find_pictures(root)
    tree = YoloTree(root, root, _find_names(root), by_folder(root, pictures), _labels(root))
    own = [label for picture in pictures if (label := tree.label_of(picture)) is not None]
    filled = next((label for label in own if label.stat().st_size), None)
    return tree if filled is not None and _is_label(filled) else None


def _find_yaml(root: Path) -> tuple[Path, dict[str, Any]] | None:
    if root.is_dir():
        # An archive often has one folder for all.
        files = [
            f for p in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml") for f in sorted(root.glob(p))
        ]
    else:
        files = [root] if root.suffix.lower() in (".yaml", ".yml") else []
    for file in files:
        try:
            content = read_yaml(file)
        except OSError:
            continue
        except ValueError:
            refuse_outside(file)
            continue
        if isinstance(content, dict) and set(content) & set(SPLITS):
            return file, content
    return None


def _names_in(names: Any) -> list[str]:
    """From a list, or from a table of index and name."""
    if isinstance(names, dict):
        return [str(names[key]) for key in sorted(names, key=lambda key: int(str(key)))]
    return [str(name) for name in names] if isinstance(names, list) else str(names).split(",")


def _pictures_of(value: Any, path: Any, file: Path) -> list[Path]:
    """Those of a folder, of a list of paths, or of several."""
    bases = [file.parent]
    if path:
        bases.insert(0, file.parent / str(path))
    found: list[Path] = []
    for item in value if isinstance(value, list) else [value] if value else []:
        place = _find_place(str(item).replace("\\", "/"), bases, file)
        if place is None:
            continue
        if place.is_dir():
            found += find_pictures(place)
            continue
        names = FileNames(folders=[*bases, place.parent], root=file.parent, findings=Findings())
        found += [p for line in read_lines(place) if (p := names.find(line)) is not None]
    return list(dict.fromkeys(found))


def _find_place(item: str, bases: list[Path], file: Path) -> Path | None:
    """As it stands, or without its first folders, which are of another place.

    Raises ValueError if there is one outside of the data set alone (`data_root.within`).
    """
    parts = [part for part in item.split("/") if part not in ("", ".")]
    for base in bases:
        if (base / item).exists() and ".." not in parts and not leads_out(base / item):
            return base / item
    parts = [part for part in parts if part != ".."]
    for start in range(len(parts)):
        for base in bases:
            place = base.joinpath(*parts[start:])
            if place.exists() and not leads_out(place):
                return place
    found = next((base / item for base in bases if (base / item).exists()), None)
    if found is not None:
        refuse_outside(found, entry=f"{file}: {item!r}")
    return found


def _labels(base: Path) -> dict[Path, Path]:
    files = [
        path
        for path in find_files(base)
        if path.suffix.lower() == ".txt" and path.name.lower() not in NAME_FILES
    ]
    times = Counter(path.parent / fold(path.stem) for path in files)
    folded = {path.parent / fold(path.stem): path for path in files}
    exact = {path.with_suffix(""): path for path in files}
    return {key: path for key, path in folded.items() if times[key] == 1} | exact


def _label_folders(picture: Path, base: Path) -> list[Path]:
    """Where its labels may be: labels/ in the place of images/, else nearby, else beside it."""
    folder = picture.parent
    found = []
    if folder.is_relative_to(base):
        parts = folder.relative_to(base).parts
        for i in reversed(range(len(parts))):
            if parts[i].casefold() in ("images", "image", "jpegimages"):
                found.append(base.joinpath(*parts[:i], "labels", *parts[i + 1 :]))
        found.append(base.joinpath("labels", *parts))
    return [*found, folder.parent / "labels", folder / "labels", folder]


def _is_label(file: Path) -> bool:
    line = next(iter(read_lines(file)), "").split()
    try:
        return len(line) >= 5 and len([float(word) for word in line]) >= 5
    except ValueError:
        return False


def _find_names(root: Path) -> list[str] | None:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(find_files(root), key=lambda path: (len(path.parts), path)):
        found[path.name.lower()].append(path)
    for name in NAME_FILES:
        if found[name]:
            return read_lines(found[name][0])
    for path in found["notes.json"]:
        try:
            categories = read_json(path)["categories"]
            return [str(c["name"]) for c in sorted(categories, key=lambda c: int(c["id"]))]
        except (KeyError, TypeError, ValueError):
            continue
    return None
