"""Videos that cannot be read, wholly or in part, and the numbers of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.cli.test_detect import Levels, by_picture, clip, detector, records, run

__all__ = ["clip", "detector"]


def test_a_video_without_a_frame_is_unread(
    detector: Levels, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = clip.read_bytes()
    empty = tmp_path / "empty.avi"
    empty.write_bytes(header[: header.index(b"movi") + 4])
    assert cv2.VideoCapture(str(empty)).isOpened()
    with pytest.raises(ValueError, match=r"^1 of 1 videos could not be read: see above"):
        run(empty, tmp_path / "alone")
    assert "empty.avi: no frame of it can be read" in caplog.text
    run([empty, clip], tmp_path / "both")
    assert "1 of 2 videos could not be read: see above; all the others are done" in caplog.text
    with pytest.raises(ValueError, match="1 of 2 videos could not be read"):
        run([empty, clip], tmp_path / "strict", "strict=true")


def test_a_camera_without_a_picture_is_unread(
    detector: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dark:
        def __init__(self, source: Any) -> None:
            pass

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def get(self, what: int) -> float:
            return 0.0

        def grab(self) -> bool:
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Dark)
    with pytest.raises(ValueError, match="1 of 1 videos could not be read"):
        run("camera:0", tmp_path / "out")


def test_a_video_that_is_cut_is_seen_by_strict(
    detector: Levels, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: (data.index(b"movi") + data.index(b"idx1")) // 2])
    run(clip, tmp_path / "out")
    assert "1 of 1 videos could not be read to their end: see above; all the others" in caplog.text
    with pytest.raises(ValueError, match="1 of 1 videos could not be read to their end"):
        run(clip, tmp_path / "strict", "strict=true")
    assert 0 < len(by_picture(tmp_path / "strict")) < 10


def test_frames_keep_their_numbers_when_another_video_can_be_read_after_all(
    detector: Levels, clip: Path, tmp_path: Path
) -> None:
    whole, bad = clip.read_bytes(), tmp_path / "bad.avi"
    bad.write_bytes(bytes(100))
    given, output = [bad, clip], tmp_path / "out"
    run(given, output, "draw=false")
    before = {r["file_name"]: r["image_id"] for r in records(output)}
    bad.write_bytes(whole)
    run(given, output, "draw=false", "resume=true")
    after = {r["file_name"]: r["image_id"] for r in records(output)}
    assert len(after) == len({*after.values()}) == 20
    assert before.items() <= after.items()
