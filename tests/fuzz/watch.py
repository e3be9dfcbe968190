"""What reading a hostile input may do: raise one line, soon, in little memory, and nothing else."""

from __future__ import annotations

import os
import resource
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 10
MEMORY = 1 << 30  # bytes
# Findings of a data set come as a list of at most ten, a line each.
LINES = 13
_RUNS = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen",
    "socket.connect", "shutil.rmtree", "os.remove", "os.rename", "os.startfile", "pty.spawn",
)  # fmt: skip
_LIBRARIES = tuple(
    os.path.realpath(path)
    for path in (
        sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), Path(__file__).parents[2],
        "/usr/lib", "/usr/share", "/usr/local/lib", "/lib", "/proc", "/sys", "/dev",
    )
)  # fmt: skip


class TooLong(BaseException):
    """Ten seconds are over."""


class Watch:
    """An audit hook stays for the life of the process: one Watch for all cases."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._seen: list[str] = []
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGALRM, self._end)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        raise TooLong

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event in _RUNS:
            self._seen.append(f"{event} {args!r:.200}")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(args[0]))
            if not path.startswith((self._folder, *_LIBRARIES)):
                self._seen.append(f"opened {path}")

    def case(self, read: Callable[[Path], object], files: dict[str, bytes]) -> str | None:
        """What is wrong with how ``files`` are read; None if nothing is."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                path = Path(folder, "case", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            before = _peak()
            started = time.monotonic()
            signal.alarm(SECONDS)
            self._folder, self._seen = os.path.realpath(folder), []
            try:
                wrong = _error(read, Path(folder, "case"))
            finally:
                self._folder = None
                signal.alarm(0)
        if self._seen:
            return self._seen[0]
        if wrong is None and time.monotonic() - started > SECONDS:
            return f"took {time.monotonic() - started:.0f} s"
        if wrong is None and _peak() - before > MEMORY:
            return f"took {(_peak() - before) >> 20} MB"
        return wrong


def _error(read: Callable[[Path], object], folder: Path) -> str | None:
    try:
        read(folder)
    except (ValueError, OSError) as error:
        text = str(error)
        if isinstance(error, UnicodeError):
            return f"{type(error).__name__}: {text:.200}"
        if not text.strip() or text.count("\n") >= LINES:
            return f"{type(error).__name__} of {text.count(chr(10)) + 1} lines: {text:.200}"
    except TooLong:
        return f"took over {SECONDS} s"
    except BaseException as error:  # whatever else it is, it is a finding
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        return f"{type(error).__name__} at {at}: {error!s:.200}"
    return None


def _peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
