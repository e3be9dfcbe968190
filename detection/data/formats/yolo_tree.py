"""Where YOLO's files are: the pictures of each split, the label file of a picture, the class names.

root/data.yaml                    names, and a folder or list for each of train, val, test; its
                                  paths count from itself, from its ``path``, or from a folder
                                  that is not there any more: ../train/images is train/images
root/{images,labels}/             or {images,labels}/train, or train/{images,labels}
root/classes.txt                  without a yaml, also obj.names or notes.json: a name per line
root/*.jpg  root/*.txt            labels beside the pictures
root/train.txt  root/valid.txt    lists that say the splits where no yaml and no folder does
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from detection.data.data_root import leads_out, widen
from detection.data.findings import Findings
from detection.data.formats.file_names import fold
from detection.data.formats.format import ALL
from detection.data.formats.splits import by_folder, kinds_of, split_folder
from detection.data.formats.text_file import read_json, read_lines
from detection.data.formats.yolo_lists import listed_parts
from detection.data.formats.yolo_yaml import (
    ABSENT_PATH,
    ABSENT_SPLIT,
    Part,
    YoloYaml,
    absent_paths,
    find_yamls,
    fitting,
    names_of_all,
)
from detection.data.picture_files import find_files, find_pictures

# Text files that are no labels.
NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")

NOT_LISTED = "picture that no list names, left out"
# So many label files, and lines of each, are looked at to tell whether they are labels.
_LOOKED_AT = 20


@dataclass(frozen=True)
class YoloTree:
    """``base``: the folder of it all.  ``names``: by their numbers; None where no file has them.

    ``splits``: the pictures of each.  ``labels``: the .txt files by their path without suffix, and
    by the same folded, where it is the only one.  ``keypoints``: how many numbers follow a box.
    ``said``: kinds and examples of what is not as its files say.
    """

    base: Path
    source: Path
    names: dict[int, str] | None
    splits: dict[str, Part]
    labels: dict[Path | str, Path]
    keypoints: int | None = None
    said: list[tuple[str, str]] = field(default_factory=list)

    def label_of(self, picture: Path) -> Path | None:
        """The label file of a picture; None if it was never labelled."""
        for folder in _label_folders(picture, self.base):
            path = folder / picture.stem
            for key in (path, fold(str(path))):
                if key in self.labels:
                    return self.labels[key]
        return None


def find_tree(root: Path) -> YoloTree | None:
    """None if there is no such data set at ``root``.

    Raises ValueError for a data.yaml whose names are none.
    """
    yamls = find_yamls(root)
    if root.is_file():
        for yaml in yamls:
            if (path := yaml.path) is not None:
                widen(path)  # who names the file itself has read it
    found = fitting(yamls)
    if found is not None:
        return _tree_of_yaml(*found)
    return _tree_of_folders(root, yamls) if root.is_dir() or yamls else None


def _tree_of_yaml(yaml: YoloYaml, parts: dict[str, Part]) -> YoloTree:
    base = yaml.base
    labels: dict[Path | str, Path] = {}
    for place in _elsewhere(yaml, parts):
        labels.update(_labels(place))
    labels.update(_labels(base))
    # A test set that was not downloaded is no hindrance.
    there = {k: p for k, p in parts.items() if p.pictures or (p.missing and k != "test")}
    absent = [place for part in parts.values() for place in part.absent]
    absent += [p.missing[0] for k, p in parts.items() if k not in there and p.missing]
    return YoloTree(
        base,
        yaml.file,
        yaml.names() or _find_names(base),
        there,
        labels,
        yaml.keypoints(),
        [(ABSENT_SPLIT, place) for place in absent],
    )


def _elsewhere(yaml: YoloYaml, parts: dict[str, Part]) -> list[Path]:
    """Folders with the labels of pictures that lie outside of the yaml's own folder."""
    folders = {picture.parent for part in parts.values() for picture in part.pictures}
    outside = [folder for folder in sorted(folders) if not folder.is_relative_to(yaml.base)]
    places = {p for folder in outside for p in _label_folders(folder / "picture.jpg", yaml.base)}
    if yaml.path is not None and not yaml.path.is_relative_to(yaml.base):
        places.add(yaml.path)
    kept: dict[Path, None] = {}
    for place in sorted(places, key=lambda place: (len(place.parts), place)):
        is_within = any(above in kept for above in place.parents)
        if not is_within and place.is_dir() and not leads_out(place):
            kept[place] = None
    return [*kept]


def _tree_of_folders(root: Path, yamls: list[YoloYaml]) -> YoloTree | None:
    """``yamls``: those whose pictures are not there."""
    base = root if root.is_dir() else root.parent
    pictures = find_pictures(base)
    labels = _labels(base)
    said = [(ABSENT_PATH, path) for path in absent_paths(yamls)]
    tree = YoloTree(base, root, None, {}, labels, None, said)
    own = {picture: label for picture in pictures if (label := tree.label_of(picture)) is not None}
    if not _have_labels(list(own.values())):
        return None
    kept = _of_splits(base, pictures, own)
    strays = sorted({*pictures} - {*kept})
    said += [("picture outside of the folders with labels, left out", str(p)) for p in strays]
    parts = {key: Part(found) for key, found in by_folder(base, kept).items()}
    if parts.keys() == {ALL}:
        findings = Findings()
        parts = listed_parts(base, findings) or parts
        listed = {picture for part in parts.values() for picture in part.pictures}
        findings.all_repaired(NOT_LISTED, [str(path) for path in kept if path not in listed])
        said += [(o.kind, one) for o in findings.oddities for one in (o.example, *o.others)]
    names = _find_names(base) or names_of_all(yamls) or _lone_names(base)
    keypoints = next((n for yaml in yamls if (n := yaml.keypoints()) is not None), None)
    return replace(tree, names=names, splits=parts, keypoints=keypoints)


def _of_splits(base: Path, pictures: list[Path], labelled: Container[Path]) -> list[Path]:
    """Those that have labels, or lie where others have some: in the same split, or beside it."""
    homes = {picture: split_folder(picture.relative_to(base)) for picture in pictures}
    with_labels = {homes[picture] for picture in pictures if picture in labelled}
    beside = {home.parent for home in with_labels if home is not None}

    def is_of_a_split(home: Path | None) -> bool:
        if home is None or home in with_labels or home.parent in beside:
            return home is not None or None in with_labels
        # Pictures of a test set need no labels, nor do they lie where the others do.
        return home.parent == Path() and (bool(beside) or "test" in kinds_of(home.name))

    return [p for p in pictures if p in labelled or is_of_a_split(homes[p])]


def _labels(base: Path) -> dict[Path | str, Path]:
    files = [
        path
        for path in find_files(base)
        if path.suffix.lower() == ".txt" and path.name.lower() not in NAME_FILES
    ]
    stems = [path.with_suffix("") for path in files]
    times = Counter(fold(str(stem)) for stem in stems)
    found: dict[Path | str, Path] = dict(zip(stems, files, strict=True))
    for stem, path in zip(stems, files, strict=True):
        if times[fold(str(stem))] == 1:
            found[fold(str(stem))] = path
    return found


def _label_folders(picture: Path, base: Path) -> list[Path]:
    """Where its labels may be: labels/ in the place of images/, else nearby, else beside it."""
    folder = picture.parent
    found = []
    is_inside = folder.is_relative_to(base)
    above = base if is_inside else Path(folder.anchor)
    parts = folder.relative_to(above).parts
    for i in reversed(range(len(parts))):
        if parts[i].casefold() in ("images", "image", "jpegimages"):
            found.append(above.joinpath(*parts[:i], "labels", *parts[i + 1 :]))
    if is_inside:
        found.append(base.joinpath("labels", *parts))
    return [*found, folder.parent / "labels", folder / "labels", folder]


def _have_labels(files: list[Path]) -> bool:
    """Whether one of the first lines of the first files that have some is a box."""
    texts = (read_lines(file) for file in files if file.stat().st_size)
    filled = islice((lines for lines in texts if lines), _LOOKED_AT)
    return any(_is_label(line) for lines in filled for line in lines[:_LOOKED_AT])


def _is_label(line: str) -> bool:
    words = line.split()
    try:
        return len(words) >= 5 and len([float(word) for word in words]) >= 5
    except ValueError:
        return False


def _find_names(root: Path) -> dict[int, str] | None:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(find_files(root), key=lambda path: (len(path.parts), path)):
        found[path.name.lower()].append(path)
    for name in NAME_FILES:
        if found[name]:
            return dict(enumerate(read_lines(found[name][0])))
    for path in found["notes.json"]:
        try:
            categories = read_json(path)["categories"]
            return dict(sorted((int(c["id"]), str(c["name"])) for c in categories))
        except (KeyError, TypeError, ValueError):
            continue
    return None


def _lone_names(root: Path) -> dict[int, str] | None:
    """Of darknet's list of names, whatever it is called, where there is one alone."""
    files = [path for path in find_files(root) if path.suffix.lower() == ".names"]
    return dict(enumerate(read_lines(files[0]))) if len(files) == 1 else None
