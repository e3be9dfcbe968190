"""YOLO's data.yaml: which file it is, the names of its classes, and the pictures of its splits.

Its paths count from itself, from its ``path``, or from a folder that is not there any more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detection.data.data_root import leads_out, refuse_outside
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames
from detection.data.formats.text_file import read_lines, read_yaml
from detection.data.picture_files import find_pictures

SPLITS = ("train", "val", "valid", "validation", "test")
ABSENT_SPLIT = "split of the yaml that is not there, left out"
ABSENT_PATH = "path of a yaml that is not there, so that the folders count"
ABSENT_LINE = "picture of a list that is not there, left out"
ABSENT = (ABSENT_SPLIT, ABSENT_PATH, ABSENT_LINE)
# Of several yaml files those of these names come first.
_USUAL = ("data", "dataset")


@dataclass
class Part:
    """The pictures of a split.

    ``absent``: its folders and lists that are not there.  ``missing``: the lines of its lists that
    lead to no picture.  ``faults``: what is wrong with the others.
    """

    pictures: list[Path]
    absent: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    faults: Findings = field(default_factory=Findings)


@dataclass(frozen=True)
class YoloYaml:
    """A yaml that names a split at least, or lists that say the same (`yolo_lists`).

    ``root``: of the data set; None: the folder of the yaml.
    """

    file: Path
    content: dict[str, Any]
    root: Path | None = None

    @property
    def base(self) -> Path:
        return self.root or self.file.parent

    @property
    def path(self) -> Path | None:
        """The folder that its paths count from, as it says itself."""
        path = self.content.get("path")
        return _without_dots(self.base / str(path)) if path else None

    @property
    def _bases(self) -> list[Path]:
        """The folders that its paths may count from, the likelier first."""
        return [self.base] if self.path is None else [self.path, self.base]

    def names(self) -> dict[int, str] | None:
        """The classes by their numbers, as they are written; None if it has none.

        Raises ValueError.
        """
        names = self.content.get("names")
        try:
            if names:  # yes and no are truth values to YAML, 1.10 is 1.1
                names = read_yaml(self.file, as_written=True)["names"]
            return names_in(names) if names else None
        except ValueError:
            raise ValueError(
                f"{self.file}: names must be a list, or a table of numbers and names; got {names!r}"
            ) from None

    def keypoints(self) -> int | None:
        """How many numbers of keypoints follow each box; None: boxes alone.  Raises ValueError."""
        shape = self.content.get("kpt_shape")
        if shape is None:
            return None
        if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)):
            raise ValueError(
                f"{self.file}: kpt_shape must be two numbers, keypoints and numbers of each, such "
                f"as [17, 3]; got {shape!r}"
            )
        return int(shape[0] * shape[1])

    def parts(self) -> dict[str, Part]:
        """Its splits, whether they are there or not."""
        parts = {key: self._part(key) for key in SPLITS if self.content.get(key)}
        train = parts.get("train")
        for key in parts.keys() - {"train"}:
            # Of two places that both are not there one was found for both.
            if train and train.pictures and train.pictures == parts[key].pictures:
                values = self.content["train"], self.content[key]
                if values[0] != values[1] and not any(map(self._is_there, values)):
                    parts[key] = Part([], [f"{self.file.name}, {key}: {values[1]}"])
        return parts

    def _is_there(self, value: Any) -> bool:
        """Whether one of the paths leads somewhere as it stands."""
        items = value if isinstance(value, list) else [value]
        return any((base / str(item)).exists() for base in self._bases for item in items)

    def _part(self, key: str) -> Part:
        """Of a folder, of a list of paths, or of several."""
        bases = self._bases
        part, value = Part([]), self.content[key]
        for item in value if isinstance(value, list) else [value]:
            place = _find_place(str(item).replace("\\", "/"), bases, self.file)
            if place is None:
                part.absent.append(f"{self.file.name}, {key}: {item}")
            elif place.is_dir():
                part.pictures += find_pictures(place)
            else:
                self._add_listed(part, place, [*bases, place.parent], key)
        part.pictures = list(dict.fromkeys(part.pictures))
        return part

    def _add_listed(self, part: Part, place: Path, folders: list[Path], split: str) -> None:
        names = FileNames(folders=folders, root=self.base, findings=part.faults, split=split)
        for line in read_lines(place):
            found = names.find(line, say=False)
            if found is None:
                part.missing.append(f"{place.name}: {line}")
            else:
                part.pictures.append(found)
        names.refuse_shared(place)


def find_yamls(root: Path) -> list[YoloYaml]:
    """Those of ``root``, or ``root`` itself, that name a split; the likely ones first."""
    if root.is_dir():
        # An archive often has one folder for all.
        levels = [[*root.glob(f"{at}*.yaml"), *root.glob(f"{at}*.yml")] for at in ("", "*/")]
    else:
        levels = [[root] if root.suffix.lower() in (".yaml", ".yml") else []]
    found = []
    for level in levels:
        for file in sorted(level, key=lambda file: (file.stem.lower() not in _USUAL, file)):
            try:
                content = read_yaml(file)
            except OSError:
                continue
            except ValueError:
                refuse_outside(file)
                continue
            if isinstance(content, dict) and set(content) & set(SPLITS):
                found.append(YoloYaml(file, content))
    return found


def fitting(yamls: Sequence[YoloYaml]) -> tuple[YoloYaml, dict[str, Part]] | None:
    """The first whose pictures are there: those for training and validation, or else any.

    Raises ValueError if none has, and one names files outside of the data set.
    """
    fits, error = [], None
    for yaml in yamls:
        try:
            parts = yaml.parts()
        except ValueError as leads_out:
            error = error or leads_out
            continue
        if any(part.pictures for part in parts.values()):
            fits.append((yaml, parts))
            if not any(part.absent for key, part in parts.items() if key != "test"):
                return fits[-1]
    if not fits and error is not None:
        raise error
    return fits[0] if fits else None


def absent_paths(yamls: Sequence[YoloYaml]) -> list[str]:
    """What they name that is not there, for messages."""
    parts = [part for yaml in yamls for part in yaml.parts().values()]
    return [path for part in parts for path in part.absent + part.missing]


def names_of_all(yamls: Sequence[YoloYaml]) -> dict[int, str] | None:
    """The class names that the yaml files agree in, or those of data.yaml.  Raises ValueError."""
    found = [(yaml, names) for yaml in yamls if (names := yaml.names())]
    if not found:
        return None
    (first, names), *others = found
    if first.file.stem.lower() not in _USUAL:
        for other, its in others:
            if its != names:
                raise ValueError(
                    f"{first.file}: it has other class names than {other.file}; take away the one "
                    "that is not of this data set"
                )
    return names


def names_in(names: Any) -> dict[int, str]:
    """From a list, or from a table of numbers and names."""
    if isinstance(names, dict):
        table = {int(str(key)): str(name) for key, name in names.items()}
        return dict(sorted(table.items()))
    listed = names if isinstance(names, list) else str(names).split(",")
    return {number: str(name) for number, name in enumerate(listed)}


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
    if found is None:
        return None
    found = _without_dots(found)
    refuse_outside(found, entry=f"{file}: {item!r}")
    return found


def _without_dots(path: Path) -> Path:
    """The same place without ``..``, which names of labels are compared by."""
    plain = Path(os.path.normpath(path))
    if path.exists() and not (plain.exists() and plain.samefile(path)):  # a link before the dots
        return Path(os.path.realpath(path))
    return plain
