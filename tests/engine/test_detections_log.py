"""Detections that are kept as they come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detection.engine.detections_log import LINES, DetectionsLog
from detection.writers.writer import PictureRecord

NUMBERS = {"a.png": 1, "b.png": 2, "c.png": 3}


def record(name: str, *scores: float) -> PictureRecord:
    return PictureRecord(NUMBERS[name], name, [{"score": score} for score in scores])


def test_each_photo_is_on_the_disk_when_it_is_written(tmp_path: Path) -> None:
    log = DetectionsLog(tmp_path, numbers=NUMBERS)
    log.write(record("b.png", 0.5))
    assert json.loads((tmp_path / LINES).read_text())["file_name"] == "b.png"


def test_a_run_goes_on_behind_the_last_whole_line(tmp_path: Path) -> None:
    first = DetectionsLog(tmp_path, numbers=NUMBERS)
    first.write(record("a.png", 0.1))
    first.write(record("b.png", 0.2))
    whole = (tmp_path / LINES).read_text()
    (tmp_path / LINES).write_text(whole[:-9])  # killed within the second line
    second = DetectionsLog(tmp_path, numbers=NUMBERS)
    assert second.done == {"a.png": 1}
    second.write(record("c.png"))
    second.write(record("b.png", 0.2, 0.3))
    found = list(second.records())
    assert [each.name for each in found] == ["a.png", "b.png", "c.png"]  # in the photos' order
    assert [entry["score"] for each in found for entry in each.detections] == [0.1, 0.2, 0.3]


def test_photos_that_are_numbered_otherwise_are_refused(tmp_path: Path) -> None:
    DetectionsLog(tmp_path, numbers=NUMBERS).write(record("b.png"))
    with pytest.raises(ValueError, match=r"b\.png is number 2 there, now 1; photos have been"):
        DetectionsLog(tmp_path, numbers={"b.png": 1})
    with pytest.raises(ValueError, match=r"b\.png is number 2 there, now None"):
        DetectionsLog(tmp_path, numbers={})


def test_frames_of_a_video_have_their_own_numbers(tmp_path: Path) -> None:
    numbers, videos = {"a.png": 1}, ["clip.mp4"]
    log = DetectionsLog(tmp_path, numbers=numbers, videos=videos)
    log.write(PictureRecord(2, "clip.mp4/000000", []))
    assert DetectionsLog(tmp_path, numbers=numbers, videos=videos).done == {"clip.mp4/000000": 2}
    with pytest.raises(ValueError, match=r"clip\.mp4/000000 is number 2 there"):
        DetectionsLog(tmp_path, numbers=numbers, videos=["other.mp4"])
