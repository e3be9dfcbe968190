"""Which files of a folder are looked at: one rule for every listing.

Hidden files and folders are left out, and what systems and tools leave beside photos: macOS's
``__MACOSX`` and ``._x.jpg`` (AppleDouble), notebooks' ``.ipynb_checkpoints``, ``Thumbs.db``.  So
are the outputs of runs below the folder: this project's, told by their marker, and Ultralytics'
``runs/detect``.  A folder that is called x.jpg is a folder.  Listings are sorted, so that no result
depends on the order in which a file system lists its entries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from detection.data.data_root import refuse_outside
from detection.data.image import SUFFIXES
from detection.run_marker import MARKER

# What annotations may name besides SUFFIXES; OpenCV decodes them where it was built to.
OTHER_SUFFIXES = (".gif", ".jfif", ".jpe", ".avif", ".jp2")
_ULTRALYTICS = ("detect", "segment", "pose", "obb", "classify")
_LEFT_OUT = ("__macosx", "thumbs.db", "desktop.ini")
_APPLE_DOUBLE = b"\x00\x05\x16\x07"
# The listings of `listed_once`; None outside of it.
_LISTED: ContextVar[dict[Path, list[Path]] | None] = ContextVar("_LISTED", default=None)


def is_left_out(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's own."""
    return name.startswith(".") or name.casefold() in _LEFT_OUT


def is_output(folder: Path) -> bool:
    """Whether a run wrote it: it has this project's marker, or is Ultralytics' runs/detect."""
    ultralytics = folder.parent.name == "runs" and folder.name in _ULTRALYTICS
    return ultralytics or (folder / MARKER).is_file()


def is_apple_double(path: Path) -> bool:
    """Whether the file holds a Mac's attributes of another file, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(len(_APPLE_DOUBLE)) == _APPLE_DOUBLE
    except OSError:
        return False


def is_picture_name(name: str) -> bool:
    """By the suffix alone."""
    return os.path.splitext(name)[1].lower() in SUFFIXES + OTHER_SUFFIXES


@contextmanager
def listed_once() -> Iterator[None]:
    """Within it a folder is listed once, however many formats look at it."""
    if _LISTED.get() is not None:
        yield
        return
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def find_files(folder: Path) -> list[Path]:
    """Every file of ``folder`` and the folders in it, sorted; [] if there is no such folder.

    Raises ValueError for a link that leads out of the data set (`data_root.within`).
    """
    listed = _LISTED.get()
    if listed is None:
        return _walk(folder)
    if folder not in listed:
        listed[folder] = _walk(folder)
    return listed[folder]


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    seen: set[str] = set()
    for at, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        refuse_outside(Path(at))
        # A link may lead back to a folder that it lies in.
        kept = [] if real in seen else [name for name in folders if not is_left_out(name)]
        folders[:] = sorted(name for name in kept if not is_output(Path(at, name)))
        if real not in seen:
            found += [_inside(Path(at, name)) for name in files if not is_left_out(name)]
        seen.add(real)
    return sorted(found)


def _inside(path: Path) -> Path:
    if path.is_symlink():
        refuse_outside(path)
    return path


def find_pictures(folder: Path) -> list[Path]:
    """The pictures among `find_files`."""
    return [path for path in find_files(folder) if is_picture_name(path.name)]
