"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The temporary names below, and those of earlier versions for the files that were written so.
_TEMPORARY = re.compile(
    r"\..+\.[0-9a-f]{16}\.partial"
    r"|(best|last|classifier)\.pt\.partial"
    r"|(metrics|detections|table)\.json\.partial|(config\.yaml|table\.md)\.partial"
)
# Of an OSError that says that there is no more room: on the disk, for this user, in one file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# How text is encoded that holds names of files: what is no UTF-8 in one (Python's surrogates).
ESCAPED = "backslashreplace"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; the file takes ``path``'s place at the end.

    Until then, and after an error, a kill or a power failure, whoever reads ``path`` finds what was
    there before.  Nobody else has the same temporary name.  Folders are made as needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        # The content is on the disk before the name is, and then the name.
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except OSError as error:
        if error.filename == str(partial):
            error.filename = None
        raise _named(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8; a byte of a file's name that is none is written as JSON escapes it, ``\\udce9``."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=ESCAPED)


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file, whole or, where the disk is full, not at all."""
    left = memoryview(f"{line}\n".encode(errors=ESCAPED))
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            file.truncate(before)
            raise _named(error, path) from error


def remove_leftovers(folder: Path) -> None:
    """Removes what killed programs left of :func:`atomic_write` in ``folder``.

    For those who know that nobody is writing there now.
    """
    for path in [*folder.iterdir()] if folder.is_dir() else []:
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def _named(error: OSError, path: Path) -> OSError:
    """A failed write knows no file."""
    known = error.errno is None or error.filename is not None
    return error if known else OSError(error.errno, error.strerror, str(path))


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # Windows opens no folders
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems cannot synchronise folders; of a file it is an error.
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
