"""The lock on an output folder, and the marker in it that says who holds it and what they write."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from detection.atomic_write import write_text
from detection.run_marker import MARKER

LOCK = ".detection-run.lock"

# Loader workers outlive a killed run, and hold its lock, until they notice that it is gone.
SECONDS_FOR_ORPHANS = 20.0


def read_marker(folder: Path) -> dict[str, Any] | None:
    """What the marker says; None where there is none.  Raises ValueError for a damaged one."""
    path = folder / MARKER
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: remove it, or choose another output_dir")
    return content


def write_marker(folder: Path, marker: dict[str, Any]) -> None:
    write_text(folder / MARKER, json.dumps(marker, indent=1) + "\n")


def listed(marker: dict[str, Any] | None, key: str) -> set[str]:
    """The names that a marker lists: all inside its folder, whoever wrote it."""
    values = (marker or {}).get(key) or []
    return {
        value
        for value in values
        if isinstance(value, str)
        and not Path(value).is_absolute()
        and ".." not in Path(value).parts
        and "**" not in value
    }


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Raises ValueError, with the other's host and process, if another run holds the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    deadline = time.monotonic() + SECONDS_FOR_ORPHANS
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            marker = read_marker(folder) or {}
            if _is_gone(marker) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise ValueError(
                f"{folder} is in use by process {marker.get('process', '?')} on host "
                f"{marker.get('host', '?')}: wait for its end, or choose another output_dir"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def removed_if_nothing_is_written(folder: Path) -> Iterator[None]:
    """A run that fails before it has written anything leaves no folder that was not there."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if new and folder.is_dir() and {path.name for path in folder.iterdir()} <= {MARKER, LOCK}:
            for name in (MARKER, LOCK):
                (folder / name).unlink(missing_ok=True)
            for path in new:
                with suppress(OSError):  # another run has come to write beside it
                    path.rmdir()
        raise


def _is_gone(marker: dict[str, Any]) -> bool:
    """Whether the run that the marker names was one of this host and has ended."""
    process = marker.get("process")
    if marker.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
