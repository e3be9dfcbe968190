"""The end of a training by a signal: SIGTERM, or Ctrl-C (SIGINT).

The first one is a request: the step in hand is finished and saved.  The second one ends the process
at once, as does the first one once everything is saved.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# "Try again later" (sysexits.h): tells a scheduler that the run can go on.
EXIT_CODE = 75
# A launcher hands on a Ctrl-C that its processes have had from the terminal as well.
SECONDS_OF_ONE_REQUEST = 1.0


class Stopped(SystemExit):
    """A training was stopped by a signal, and is saved."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class StopRequest:
    """Listens for the signals while it is entered; in threads other than the first for none.

    ``is_made``: whether one has come.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._came = 0.0
        self._nothing_to_lose = False
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def nothing_to_lose(self) -> Iterator[None]:
        """While all is saved, as in a validation: a request raises :class:`Stopped` at once."""
        self._nothing_to_lose = True
        try:
            if self.is_made:
                raise Stopped
            yield
        finally:
            self._nothing_to_lose = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loader's worker, which its training ends
            return
        now = time.monotonic()
        if self.is_made and now - self._came > SECONDS_OF_ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._process, number)
        if not self.is_made:
            self.is_made, self._came = True, now
        if self._nothing_to_lose:
            raise Stopped
