"""Drawn pictures and videos: as the style says; the frames of a video have one size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from detection.visualization.style import DrawingStyle
from detection.writers.drawings import DrawingsWriter
from detection.writers.video import VideoWriter
from detection.writers.writer import PictureRecord

IMAGE = np.full((96, 128, 3), 128, np.uint8)


def record(name: str, count: int) -> PictureRecord:
    """``count`` objects, so close that hardly a tag has room."""
    found = [
        {"bbox": [8.0 * (n % 15), 8.0 * (n // 15), 6.0, 6.0], "score": 0.9, "class_name": "cat"}
        for n in range(count)
    ]
    return PictureRecord(number=1, name=name, detections=found)


def drawn(tmp_path: Path, style: DrawingStyle) -> np.ndarray:
    writer = DrawingsWriter(
        folder=tmp_path, class_names=["cat"], min_score=0.5, names=["a.png"], style=style
    )
    writer.add(record("a.png", 150), IMAGE)
    return cv2.imread(str(tmp_path / "drawn" / "a.png"))


def test_a_picture_is_drawn_as_the_style_says(tmp_path: Path) -> None:
    assert drawn(tmp_path, DrawingStyle()).shape[0] > 96  # the legend
    plain = drawn(tmp_path, DrawingStyle(legend=False))
    assert plain.shape == IMAGE.shape
    frames = drawn(tmp_path, DrawingStyle(labels=False, scores=False))
    assert frames.shape == IMAGE.shape
    assert (frames != IMAGE).sum() <= (plain != IMAGE).sum()


def test_the_frames_of_a_video_have_one_size(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    writer = VideoWriter(path, fps=5.0, class_names=["cat"], min_score=0.5)
    for count in (0, 150, 2):
        writer.add(record("x", count), IMAGE)
    writer.finish()
    video = cv2.VideoCapture(str(path))
    sizes = []
    while (frame := video.read()[1]) is not None:
        sizes.append(frame.shape)
    assert sizes == [IMAGE.shape] * 3
