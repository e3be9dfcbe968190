"""Darknet's lists of pictures, which say YOLO's splits where no yaml and no folder does.

obj.data                     a line for each split: train = data/train.txt
train.txt  valid.txt         without one, lists that lie in one folder, the data set's or one in it
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from detection.data.findings import Findings
from detection.data.formats.splits import ALIASES, is_of, is_split
from detection.data.formats.text_file import read_lines
from detection.data.formats.yolo_yaml import SPLITS, Part, YoloYaml
from detection.data.picture_files import find_files, is_picture_name

USED = "splits by lists of pictures"
UNUSED = (
    "lists of pictures that are not used, since they do not fit to the pictures, or to each other"
)
# Of a .data file, which names a few lists; other programs have files of that name, too.
_LONGEST = 10_000


def listed_parts(base: Path, findings: Findings) -> dict[str, Part] | None:
    """The pictures of two splits or more, by the only lists that fit; None where none do."""
    places = _of_data(base) or _of_lists(base)
    fits = []
    for place in places:
        try:
            parts = place.parts()
            if parts.keys() == place.content.keys() and all(map(_is_there, parts.values())):
                fits.append((place, parts))
        except (OSError, ValueError):  # as of lists of another machine
            continue
    if len(fits) == 1:
        ((place, parts),) = fits
        findings.repaired(USED, ", ".join(place.content.values()))
        return parts
    for place in places:
        findings.repaired(UNUSED, ", ".join(place.content.values()))
    return None


def _is_there(part: Part) -> bool:
    has_most = len(part.pictures) > len(part.missing)
    return has_most and not part.absent and not part.faults.has_faults


def _of_data(base: Path) -> list[YoloYaml]:
    files = [file for file in _near(base, ".data") if file.stat().st_size < _LONGEST]
    told = [(file, _entries(file)) for file in files]
    return [YoloYaml(file, lists, base) for file, lists in told if len(lists) > 1]


def _entries(file: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in read_lines(file))
    table = {key.strip(): value.strip() for key, sign, value in pairs if sign}
    return {key: value for key, value in table.items() if key in SPLITS and value}


def _of_lists(base: Path) -> list[YoloYaml]:
    """Those of each folder."""
    found: dict[Path, dict[str, str]] = defaultdict(dict)
    for file in _near(base, ".txt"):
        if is_split(file.stem) and _is_list(file):
            known = (words[0] for words in ALIASES if is_of(file.stem, words[0]))
            # trainval, or a second list for validation: no split of YOLO's, which does not fit.
            split = next((word for word in known if word not in found[file.parent]), "other")
            found[file.parent][split] = file.relative_to(base).as_posix()
    several = {folder: lists for folder, lists in found.items() if len(lists) > 1}
    return [YoloYaml(folder, lists, base) for folder, lists in several.items()]


def _near(base: Path, suffix: str) -> list[Path]:
    """The files of the folder itself and of those in it."""
    files = (file for file in find_files(base) if file.suffix.lower() == suffix)
    return [file for file in files if len(file.relative_to(base).parts) <= 2]


def _is_list(file: Path) -> bool:
    """Not the labels of a picture called train.jpg."""
    lines = read_lines(file)
    return bool(lines) and is_picture_name(lines[0])
