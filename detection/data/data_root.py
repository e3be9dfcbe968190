"""The folder that a data set lies in: what its annotations name is read from there alone.

Annotations come from others.  A name that is absolute, that has ``..`` in it, or that is a link
must not make a program read, show or copy files that are none of the data set's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from detection.user_path import user_path

# Linux's limit for a path, in bytes.  Each of a name's folders is asked for, so that a megabyte of
# them takes minutes.
_LONGEST = 4096


def check_length(name: str | Path, *, source: Path | None = None) -> None:
    """Raises ValueError for a name that no file can have.  ``source``: the file that says it."""
    if len(text := str(name)) > _LONGEST:
        place = f"{source}: " if source else ""
        raise ValueError(
            f"{place}{text[:60]!r}... is a file name of {len(text):,} characters, at most "
            f"{_LONGEST:,} can be: correct it, or take it out"
        )


@dataclass
class _Roots:
    """Real paths.  ``parents``: those of folders that were asked for already."""

    real: list[str]
    parents: dict[str, str] = field(default_factory=dict)

    def hold(self, path: Path) -> bool:
        check_length(path)
        parent, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):
            real = os.path.realpath(path)
        else:
            if parent not in self.parents:
                self.parents[parent] = os.path.realpath(parent)
            real = os.path.join(self.parents[parent], name)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self.real)


# None: outside of `within`, or where files of other places are allowed.
_ROOTS: ContextVar[_Roots | None] = ContextVar("_ROOTS", default=None)


def check_there(root: Path) -> None:
    """Raises FileNotFoundError if there is neither such a folder nor such a file."""
    if not user_path(root).exists():
        kind = "file" if root.suffix else "folder"
        raise FileNotFoundError(f"{root}: no such {kind}; set data.root to your data set")


@contextmanager
def within(root: Path, *, allow_outside: bool) -> Iterator[None]:
    """Within it `refuse_outside` holds for ``root``, which may be a link itself.

    ``root``: a folder; or a file, whose folder counts, and the one above it if that is called
    annotations.  The outermost `within` decides.
    """
    if allow_outside or _ROOTS.get() is not None:
        yield
        return
    token = _ROOTS.set(_Roots([os.path.realpath(_folder(root))]))
    try:
        yield
    finally:
        _ROOTS.reset(token)


def _folder(root: Path) -> Path:
    if root.is_dir():
        return root
    folder = Path(os.path.abspath(root)).parent
    return folder.parent if folder.name.casefold().startswith("annotation") else folder


def widen(folder: Path) -> None:
    """Files in ``folder`` count as the data set's too, for the rest of `within`."""
    roots = _ROOTS.get()
    if roots is not None:
        roots.real.append(os.path.realpath(folder))


def leads_out(path: Path) -> bool:
    """Whether ``path``, with all links followed, is outside of the data set."""
    roots = _ROOTS.get()
    return roots is not None and not roots.hold(path)


def refuse_outside(path: Path, *, entry: str = "") -> None:
    """Raises ValueError if `leads_out`.  ``entry``: what names the path, and where."""
    roots = _ROOTS.get()
    if roots is None or roots.hold(path):
        return
    real = os.path.realpath(path)
    said = f"{entry} is {real}" if entry else f"{path}: it leads to {real}"
    raise ValueError(
        f"{said}, outside of the data set in {roots.real[0]}; copy it there, or set "
        "data.allow_outside=true if you trust these annotations"
    )
