"""Frames of a video file, read ahead."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.engine.video import Video


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Forty frames of ever brighter grey, 8 a second."""
    path = tmp_path / "clip.avi"
    sink = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (48, 32))
    for number in range(40):
        sink.write(np.full((32, 48, 3), 6 * number, np.uint8))
    sink.release()
    return path


@pytest.mark.parametrize("every", [1, 3, 100])
def test_each_nth_frame_comes_in_its_order(clip: Path, every: int) -> None:
    video = Video(clip, every=every)
    frames = list(video.frames())
    assert [frame.index for frame in frames] == list(range(0, 40, every))
    assert video.length == len(frames)
    assert video.fps == pytest.approx(8 / every)
    levels = [frame.image.mean() for frame in frames]
    assert levels == pytest.approx([6 * frame.index for frame in frames], abs=3)


def test_a_reader_that_is_closed_early_ends_its_thread(clip: Path) -> None:
    before = threading.active_count()
    frames = Video(clip).frames()
    assert next(frames).index == 0
    assert threading.active_count() == before + 1
    frames.close()
    assert threading.active_count() == before


def test_no_more_than_a_few_frames_are_read_ahead(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = Video(clip)
    grabbed = threading.Semaphore(0)
    original = video._capture

    class Counting:
        retrieve, release = original.retrieve, original.release

        def grab(self) -> bool:
            grabbed.release()
            return original.grab()

    monkeypatch.setattr(video, "_capture", Counting())
    frames = video.frames()
    next(frames)
    for _ in range(9):  # 8 that wait, besides the one that is here
        assert grabbed.acquire(timeout=10)
    grabbed.acquire(timeout=0.3)  # the one that waits for a place
    assert not grabbed.acquire(timeout=0.3)
    frames.close()


def test_what_is_no_video_is_named(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(bytes(200))
    with pytest.raises(ValueError, match=r"bad\.mp4: not a readable video"):
        Video(tmp_path / "bad.mp4")
    with pytest.raises(ValueError, match="every must be 1 or more, got 0"):
        Video(clip, every=0)


def test_a_video_that_is_cut_off_is_said_to_be(
    clip: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = Video(clip)
    monkeypatch.setattr(video, "_declared", 400)
    assert len(list(video.frames())) == 40
    assert "clip.avi: ends after 40 of 400 frames" in caplog.text
    assert video.is_cut


def test_a_video_that_is_left_early_is_not_cut(
    clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = Video(clip)
    frames = video.frames()
    next(frames)
    frames.close()
    assert not video.is_cut
    assert not caplog.text


def test_the_end_of_a_stream_is_said(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = Video(str(clip))  # an address
    assert list(video.frames())
    assert "clip.avi: the stream has ended after 40 frames" in caplog.text
    assert not video.is_cut
