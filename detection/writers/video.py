"""drawn/*.mp4: a video with the detections drawn on its frames, at the pace of the one read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from detection.visualization.image import Image
from detection.visualization.style import DEFAULT, DrawingStyle
from detection.writers.drawings import drawn_picture
from detection.writers.writer import PictureRecord


def drawn_video_names(names: Sequence[str]) -> dict[str, str]:
    """Where the drawn frames of each video go: an .mp4, whatever it was, and no two to one."""
    found, taken = {}, {name.casefold() for name in names if _is_mp4(name)}
    for name in names:
        target = name if _is_mp4(name) else f"{name}.mp4"
        while target != name and target.casefold() in taken:
            target = f"{target}.mp4"
        taken.add(target.casefold())
        found[name] = f"drawn/{target}"
    return found


def _is_mp4(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == ".mp4"


def partial_name(name: str) -> str:
    """What a drawn video is called until it is whole.

    OpenCV takes the format from the suffix.  It is the same name each time, so that what a killed
    run has left is written over.
    """
    return PurePosixPath(name).with_name(f".{PurePosixPath(name).stem}.partial.mp4").as_posix()


class VideoWriter:
    """Frames in their order -> an MP4 at ``path``, which is there when it is whole.

    ``fps``: frames a second.  All frames are of the first one's size, so none has a legend.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float,
        class_names: Sequence[str],
        min_score: float,
        style: DrawingStyle = DEFAULT,
    ) -> None:
        self._style = replace(style, legend=False)
        self._path, self._fps = path, fps
        self._class_names, self._min_score = class_names, min_score
        self._partial = path.with_name(partial_name(path.name))
        self._sink: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._is_given_up = False

    def add(self, record: PictureRecord, image: Image) -> None:
        """Raises ValueError, once, if OpenCV cannot write videos here."""
        if self._is_given_up:
            return
        drawn = drawn_picture(record, image, self._class_names, self._min_score, self._style)
        if self._sink is None:
            self._size = drawn.shape[1], drawn.shape[0]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._sink = cv2.VideoWriter(str(self._partial), code, self._fps, self._size)
            if not self._sink.isOpened():
                self._sink, self._is_given_up = None, True
                raise ValueError(f"{self._path}: OpenCV cannot write MP4 videos on this machine")
        if (drawn.shape[1], drawn.shape[0]) != self._size:
            drawn = np.asarray(cv2.resize(drawn, self._size), dtype=np.uint8)
        self._sink.write(drawn)

    def finish(self) -> None:
        """The video takes its name; a run without frames leaves none."""
        if self._sink is not None:
            self._sink.release()
            self._sink = None
            os.replace(self._partial, self._path)

    def abandon(self) -> None:
        """What was written is removed: a video that is not whole is none."""
        if self._sink is not None:
            self._sink.release()
            self._sink = None
        self._partial.unlink(missing_ok=True)
