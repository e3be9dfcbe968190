"""What the name of a picture in an annotation means: the one resolver of all formats.

Names come from other systems and other folders.  In this order a name is

1. a path from the folder of the pictures, of the annotations, or of the data set;
2. of all files below them, the one that agrees in most parts of its path, where back-slashes are
   slashes and %-codes, the composition of accents (NFC, NFD) and case do not count;
3. the same with another suffix.

A name that fits two files equally well is not decided: it is not found.  Nor is one of a split
looked for in the folders of another split, unless it names them.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from detection.data.data_root import check_length, leads_out, refuse_outside
from detection.data.findings import Findings
from detection.data.formats.splits import is_split, kinds_of
from detection.data.picture_files import find_files, is_picture_name


def fold(name: str) -> str:
    """What two names have in common that differ in case or in the composition of accents only."""
    return unicodedata.normalize("NFC", name).casefold()


def parts_of(name: str) -> list[str]:
    """Of a path of any system or a URL, without its drive and without . and .. .

    Raises ValueError for a name that is too long for a file.
    """
    check_length(name)
    path = name.replace("\\", "/")
    # Label Studio: /data/local-files/?d=images/a.jpg
    path = re.sub(r"^.*[?&]d=", "", path)
    if re.match(r"^https?://", path):
        path = path.partition("?")[0]
    path = re.sub(r"^[A-Za-z]:", "", re.sub(r"^\w{2,5}:/+", "/", path))
    return [part for part in path.split("/") if part not in ("", ".", "..")]


class FileNames:
    """The files that names may mean.

    ``folders``: where names begin, the most likely first.  ``root``: all below it is searched.
    ``split``: that of the annotations.
    """

    def __init__(
        self, *, folders: Sequence[Path], root: Path, findings: Findings, split: str = ""
    ) -> None:
        self.folders = list(folders)
        self.root = root
        self.findings = findings
        self._kinds = kinds_of(split)
        # Of each file the names that led to it, and whether they did as they stand.
        self._led: dict[str, dict[tuple[str, Path | None], bool]] = defaultdict(dict)

    def find(self, name: str, *, near: Path | None = None, say: bool = True) -> Path | None:
        """The picture that ``name`` means; None if there is none, or more than one.

        ``near``: the folder of the annotation, which comes first.
        ``say``: whether a difference is a finding; not where ``name`` is that of another file.
        Raises ValueError if the only one lies outside of the data set (`data_root.within`).
        """
        name = name.strip()
        if not parts_of(name):
            return None
        folders = ([near] if near else []) + self.folders
        outside = None
        for folder in folders:
            if (folder / name).is_file():
                if not leads_out(folder / name):
                    path = _without_dots(folder, name)
                    self._led[os.path.normpath(path)][name, near] = True
                    return path
                outside = outside or folder / name
        found = self._choose(name, folders)
        if found is None and outside is not None:
            refuse_outside(outside, entry=f"{self.root}: the picture {name!r} of an annotation")
        if found is not None:
            self._led[os.path.normpath(found)][name, near] = False
        difference = _difference(name, found) if found is not None else None
        if say and difference is not None and found is not None:
            self.findings.repaired(difference, f"{name} is {self._shown(found)}")
        return found

    def refuse_shared(self, source: Path) -> set[tuple[str, Path | None]]:
        """Two names that led to one file are a fault if one of them is not the file's own.

        Returns the (name, near) whose pictures are to be left out where faults are collected.
        """
        others: set[tuple[str, Path | None]] = set()
        for path, names in self._led.items():
            if len(names) < 2 or all(names.values()):
                continue
            mended = [key for key in names if not names[key]]
            others.update(mended)
            first = ([key for key in names if names[key]] or mended)[0]
            self.findings.refuse(
                f"{source}: the names {self._entry(first)} and {self._entry(mended[-1])} lead to "
                f"one picture, {self._shown(Path(path))}; add the one that is missing, or take its "
                "entry out"
            )
        return others

    def _entry(self, key: tuple[str, Path | None]) -> str:
        name, near = key
        if near is None or near == self.root:
            return repr(name)
        return f"{name!r} of {self._shown(near)}"

    def nearest(self, name: str) -> str:
        """For the message about a name that is not found: what is there instead."""
        parts = parts_of(name)
        if not parts:
            return "the name is empty"
        same = self._by_name.get(fold(parts[-1]), [])
        if same and not any(self._may_be(path, parts) for path in same):
            shown = self._shown(same[0])
            return f"{shown} is in the folder of another split; if it is meant, name it so"
        if len(same) > 1:
            shown = " and ".join(self._shown(path) for path in same[:2])
            return f"{len(same)} files are called so, {shown}"
        close = difflib.get_close_matches(fold(parts[-1]), self._by_name, n=1)
        return f"the nearest is {self._shown(self._by_name[close[0]][0])}" if close else ""

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        others = [folder for folder in self.folders if not folder.is_relative_to(self.root)]
        roots = [self.root, *(folder for folder in others if not leads_out(folder))]
        for path in dict.fromkeys(file for root in roots for file in find_files(root)):
            if is_picture_name(path.name):
                found[fold(path.name)].append(path)
        return dict(found)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for paths in self._by_name.values():
            for path in paths:
                found[fold(path.stem)].append(path)
        return dict(found)

    def _choose(self, name: str, folders: list[Path]) -> Path | None:
        for wanted in dict.fromkeys((name, unquote(name))):
            parts = parts_of(wanted)
            found = self._allowed(self._by_name.get(fold(parts[-1]), []), parts)
            if found:
                return _best(found, parts, folders)
        parts = parts_of(unquote(name))
        stem = PurePosixPath(parts[-1])
        # A name without the suffix of a picture may hold a dot: "a.b" is no "a" with suffix .b.
        base = stem.stem if is_picture_name(stem.name) else stem.name
        # Label Studio puts eight digits before a name that was uploaded.
        for wanted in dict.fromkeys((base, re.sub(r"^[0-9a-f]{8}-", "", base))):
            found = self._allowed(self._by_stem.get(fold(wanted), []), parts)
            if found:
                return _best(found, [*parts[:-1], wanted], folders)
        return None

    def _allowed(self, found: list[Path], parts: list[str]) -> list[Path]:
        return [path for path in found if self._may_be(path, parts)]

    def _may_be(self, path: Path, parts: list[str]) -> bool:
        """Whether ``path`` lies in no folder of another split, or the name says that one."""
        if not self._kinds or not path.is_relative_to(self.root):
            return True
        folders = [f for f in path.relative_to(self.root).parts[:-1] if is_split(f)]
        own = any(kinds_of(folder) & self._kinds for folder in folders)
        return own or all(fold(folder) in map(fold, parts[:-1]) for folder in folders)


def _without_dots(folder: Path, name: str) -> Path:
    """``folder / name`` as its folder lists it: without the ``..`` of the name."""
    path, plain = folder / name, folder
    if ".." not in path.parts[len(folder.parts) :]:
        return path
    for part in PurePosixPath(name).parts:
        plain = plain.parent if part == ".." else plain / part
    return plain if plain.exists() and plain.samefile(path) else path


def _best(found: list[Path], parts: list[str], folders: list[Path]) -> Path | None:
    """The one that agrees in most parts, then in case, then lies in the first of ``folders``.

    Last counts what is called so: the pictures of Annotations/cam_a lie in images/cam_a.
    """

    def merit(path: Path) -> tuple[int, int, int, int]:
        exact = path.name == parts[-1]
        place = next((-i for i, f in enumerate(folders) if path.parent == f), -len(folders))
        mirrored = max((_alike(path.parts[:-1], f.parts) for f in folders), default=0)
        return _alike(path.parts[:-1], parts[:-1]), exact, place, mirrored

    ranked = sorted(found, key=merit, reverse=True)
    if len(ranked) > 1 and merit(ranked[0]) == merit(ranked[1]):
        return None
    return ranked[0]


def _alike(own: Sequence[str], others: Sequence[str]) -> int:
    """How many parts at the ends of two paths are the same."""
    ends = zip(reversed(own), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: fold(pair[0]) == fold(pair[1]), ends))


def _difference(name: str, found: Path) -> str | None:
    """Why ``name`` did not lead to the file as it stands; None where it names no folder at all."""
    parts = parts_of(name)
    base = parts[-1]
    if base != found.name:
        if fold(unquote(base)) == fold(found.name) and fold(base) != fold(found.name):
            return "names of pictures with %-codes"
        if fold(base) != fold(found.name):
            stem = PurePosixPath(base).stem if is_picture_name(base) else base
            if fold(unquote(stem)) != fold(found.stem):
                return "names of pictures with eight digits before them"
            if stem == base:
                return "names of pictures without their suffix"
            return "names of pictures with another suffix"
        same = unicodedata.normalize("NFC", base) == unicodedata.normalize("NFC", found.name)
        return "names with accents composed otherwise" if same else "names in another case"
    if re.match(r"^([A-Za-z]:|[\\/]|\w+://)", name):
        return "paths of another machine, found by the name"
    if "\\" in name:
        return "names of pictures with back-slashes"
    return "pictures in another folder than the one named" if parts[1:] else None
