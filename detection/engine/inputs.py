"""What ``images=`` stands for: pictures, videos and cameras, each once."""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detection.data.image import SUFFIXES
from detection.data.picture_files import (
    OTHER_SUFFIXES,
    find_files,
    is_apple_double,
    is_left_out,
    is_picture_name,
)
from detection.user_path import user_path

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp",
)  # fmt: skip
_CAMERA = "camera:"
_STREAMS = ("rtsp://", "rtmp://")


@dataclass(frozen=True)
class Inputs:
    """``pictures``, ``videos``: files.  ``cameras``: numbers from 0 on, or addresses of streams.

    ``skipped``: how many other files of each suffix lay in folders.
    """

    pictures: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    cameras: list[int | str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def names(self) -> dict[Path, str]:
        """Each file's name relative to the folder that holds them all, with ``/``."""
        whole = {path: Path(os.path.abspath(path)) for path in (*self.pictures, *self.videos)}
        if not whole:
            return {}
        common = Path(os.path.commonpath([path.parent for path in whole.values()]))
        return {path: place.relative_to(common).as_posix() for path, place in whole.items()}

    def camera_names(self) -> dict[int | str, str]:
        """``camera-N``, no two alike: N is the camera's number, of an address its place or more."""
        numbered = (camera for camera in self.cameras if isinstance(camera, int))
        names: dict[int | str, str] = {camera: f"camera-{camera}" for camera in numbered}
        for place, camera in enumerate(self.cameras):
            if camera not in names:
                free = (f"camera-{n}" for n in itertools.count(place))
                names[camera] = next(name for name in free if name not in names.values())
        return {camera: names[camera] for camera in self.cameras}


def find_inputs(images: str | Sequence[str]) -> Inputs:
    """A file, a folder (searched whole), a glob, a list (.txt), ``camera:0``; or several of them.

    Raises FileNotFoundError if one of them stands for nothing.
    """
    found = Inputs()
    for pattern in [images] if isinstance(images, str) else images:
        _add(found, str(pattern))
    return Inputs(_once(found.pictures), _once(found.videos), found.cameras, found.skipped)


def _add(inputs: Inputs, pattern: str) -> None:
    path = user_path(pattern)
    if pattern.startswith(_CAMERA) or pattern.startswith(_STREAMS):
        inputs.cameras.append(_camera(pattern))
    elif path.is_dir():
        found, skipped = _split(find_files(path))
        if not found:
            raise FileNotFoundError(_nothing(pattern, skipped))
        _sort_in(inputs, found)
        inputs.skipped.update(skipped)
    elif path.is_file() and path.suffix.lower() == ".txt":
        for line in _lines(path):
            _add_line(inputs, path, line)
    elif path.is_file():
        _sort_in(inputs, [path])
    else:
        _sort_in(inputs, _glob(path, pattern))


def _glob(path: Path, pattern: str) -> list[Path]:
    files = [Path(name) for name in glob.glob(str(path), recursive=True)]
    # What the pattern names itself is wanted, whatever it is called.
    named = next((i for i, part in enumerate(path.parts) if glob.has_magic(part)), 0)
    files = [f for f in files if f.is_file() and not any(map(is_left_out, f.parts[named:]))]
    found, skipped = _split(files)
    if not found:
        raise FileNotFoundError(_nothing(pattern, skipped))
    return sorted(found)


def _split(files: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """Pictures and videos; how many others of each suffix there are."""
    found, skipped = [], Counter[str]()
    for file in files:
        suffix = file.suffix.lower()
        if not (is_picture_name(file.name) or suffix in VIDEO_SUFFIXES):
            skipped[suffix or "no suffix"] += 1
        elif not is_apple_double(file):
            found.append(file)
    return found, skipped


def _add_line(inputs: Inputs, listed_in: Path, line: str) -> None:
    """A line of a list, relative to the list's folder, else to the current one.

    A picture that is not there is taken: it is reported and left out like one that is broken.
    """
    beside = listed_in.parent / user_path(line)
    for place in (beside, user_path(line)):
        if place.suffix.lower() != ".txt" and (place.exists() or glob.has_magic(line)):
            try:
                return _add(inputs, str(place))
            except FileNotFoundError:
                continue
    if line.startswith((_CAMERA, *_STREAMS)):
        return _add(inputs, line)
    return _sort_in(inputs, [beside])


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a list of pictures must be UTF-8 text: {error}") from None
    lines = [line.strip() for line in text.splitlines()]
    if not any(lines):
        raise FileNotFoundError(f"{path}: the list is empty; write the path of a picture a line")
    yield from filter(None, lines)


def _camera(pattern: str) -> int | str:
    name = pattern.removeprefix(_CAMERA)
    if pattern.startswith(_STREAMS) or name.startswith((*_STREAMS, "http://", "https://")):
        return name
    if not name.isdecimal():
        raise ValueError(f"{pattern}: a camera is camera:0, camera:1, ... or camera:rtsp://...")
    return int(name)


def _sort_in(inputs: Inputs, paths: Sequence[Path]) -> None:
    for path in paths:
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        (inputs.videos if is_video else inputs.pictures).append(path)


def _once(paths: Sequence[Path]) -> list[Path]:
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(os.path.abspath(path), path)
    return list(first.values())


def skipped_line(skipped: Counter[str]) -> str:
    """For people: "3 other files left out: 2 .heic, 1 .txt"."""
    most = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    each = ", ".join(f"{count} {suffix}" for suffix, count in most[:8])
    more = f" and {len(skipped) - 8} more suffixes" if len(skipped) > 8 else ""
    total = sum(skipped.values())
    return f"{total} other {'file' if total == 1 else 'files'} left out: {each}{more}"


def _nothing(pattern: str, skipped: Counter[str]) -> str:
    there = ", ".join(f"{count} {suffix}" for suffix, count in skipped.most_common(5))
    return (
        f"{pattern}: no images there{f', but {there}' if there else ''}; give a file, a folder, a "
        f"glob or a list (.txt) of {', '.join(SUFFIXES + OTHER_SUFFIXES)} pictures or "
        f"{', '.join(VIDEO_SUFFIXES)} videos, or camera:0"
    )
