"""Places for uploads, of which slow ones give way where others wait.

Each upload may hold ``max_bytes``, so that few are read at a time; without a rule, so few slow
clients would keep all others out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from detection.serving.limits import UPLOAD_PATIENCE, UPLOADS_AT_ONCE

# Whether one waits and one is slow is looked at so often, in seconds.
_LOOK = 0.2


@dataclass(eq=False)
class Upload:
    """One that has a place.  ``size``: bytes that have come.

    ``reading``: the time limit of its body while that comes; it ends early for one that gives way.
    """

    began: float = field(default_factory=time.monotonic)
    size: int = 0
    reading: asyncio.Timeout | None = None
    gave_way: bool = False

    def give_way(self) -> None:
        assert self.reading is not None
        self.gave_way = True
        self.reading.reschedule(asyncio.get_running_loop().time())

    @property
    def rate(self) -> float:
        """Bytes a second so far."""
        return self.size / max(time.monotonic() - self.began, 1e-6)


class Uploads:
    """At most ``UPLOADS_AT_ONCE`` have a place, from their first byte until they are decoded."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._taken: set[Upload] = set()
        self._waiting = 0
        self._is_looked_after = False

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Upload]:
        """Waits for one."""
        self._waiting += 1
        try:
            self._look_after()
            await self._places.acquire()
        finally:
            self._waiting -= 1
        upload = Upload()
        self._taken.add(upload)
        try:
            yield upload
        finally:
            self._taken.discard(upload)
            self._places.release()

    def make_room(self, count: int = 1) -> int:
        """How many of the slowest were made to give way: those that come for too long already."""
        least = time.monotonic() - UPLOAD_PATIENCE
        slow = [
            one
            for one in self._taken
            if one.reading is not None and not one.gave_way and one.began < least
        ]
        slow.sort(key=lambda one: one.rate)
        for one in slow[:count]:
            one.give_way()
        return len(slow[:count])

    def _look_after(self, again: bool = False) -> None:
        """As long as one waits."""
        if self._is_looked_after and not again:
            return
        self._is_looked_after = self._waiting > 0 and self._places.locked()
        if self._is_looked_after:
            ending = sum(one.gave_way for one in self._taken)
            self.make_room(max(self._waiting - ending, 0))
            asyncio.get_running_loop().call_later(_LOOK, self._look_after, True)
