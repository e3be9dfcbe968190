"""Frames of a video file or a camera, read while the network works on earlier ones."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

# Frames that are read ahead, at most.
_AHEAD = 8
_USUAL_FPS = 25.0


@dataclass(frozen=True)
class Frame:
    """``index``: from 0 on, in the video.  ``image``: uint8 [H, W, 3] BGR, upright."""

    index: int
    image: NDArray[np.uint8]


class Video:
    """A video file, or a camera by its number or address.

    ``every``: each so many-th frame is taken, the first one among them.
    ``fps``: frames a second of what is taken.
    ``length``: how many are taken, as far as the file says; 0: unknown.
    ``is_cut``: whether the file has ended long before that; known at its end.
    Raises ValueError if it cannot be opened.
    """

    def __init__(self, source: Path | int | str, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be 1 or more, got {every}")
        self._source, self.every = source, every
        self.is_live = not isinstance(source, Path)
        self._capture = cv2.VideoCapture(str(source) if isinstance(source, Path) else source)
        if not self._capture.isOpened():
            what = f"{source}: not a readable video" if not self.is_live else f"camera {source}"
            hint = "" if not self.is_live else " does not answer; check its number or address"
            raise ValueError(f"{what}{hint}")
        declared = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = (declared if 0 < declared <= 1000 else _USUAL_FPS) / every
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._declared = 0 if self.is_live else max(count, 0)
        self.length = -(-self._declared // every)
        self.is_cut = False

    def frames(self) -> Generator[Frame, None, None]:
        """Every frame in its order.  Of a camera that is faster than its reader the newest ones."""
        frames: queue.Queue[Frame | None] = queue.Queue(1 if self.is_live else _AHEAD)
        stopped = threading.Event()
        reader = threading.Thread(target=self._read, args=(frames, stopped), daemon=True)
        reader.start()
        try:
            while (frame := frames.get()) is not None:
                yield frame
        finally:
            stopped.set()
            with suppress(queue.Empty):  # a reader that waits for a place goes on, and sees it
                frames.get_nowait()
            reader.join()
            self._capture.release()

    def _read(self, frames: queue.Queue[Frame | None], stopped: threading.Event) -> None:
        index = 0
        while not stopped.is_set() and self._capture.grab():
            if index % self.every == 0:
                there, image = self._capture.retrieve()
                if not there:
                    break
                self._put(frames, Frame(index, np.asarray(image, dtype=np.uint8)), stopped)
            index += 1
        if not stopped.is_set():
            self._say_the_end(index)
        self._put(frames, None, stopped)

    def _say_the_end(self, index: int) -> None:
        # Files count their frames roughly; one that is cut off lacks many.
        self.is_cut = 0 < index < 0.9 * self._declared
        if self.is_cut:
            log.warning("%s: ends after %d of %d frames", self._source, index, self._declared)
        if self.is_live and index:
            log.warning("camera %s: the stream has ended after %d frames", self._source, index)

    def _put(
        self, frames: queue.Queue[Frame | None], frame: Frame | None, stopped: threading.Event
    ) -> None:
        while not stopped.is_set():
            if self.is_live and frame is not None:
                with suppress(queue.Empty):
                    frames.get_nowait()
            with suppress(queue.Full):
                frames.put(frame, timeout=0.1)
                break
