"""Detections that are kept as they come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detection.engine.detections_log import LINES, LIST, DetectionsLog

NUMBERS = {"a.png": 1, "b.png": 2, "c.png": 3}


def test_each_photo_is_on_the_disk_when_it_is_written(tmp_path: Path) -> None:
    log = DetectionsLog(tmp_path, numbers=NUMBERS)
    log.write("b.png", [{"score": 0.5}])
    assert json.loads((tmp_path / LINES).read_text())["file_name"] == "b.png"
    assert not (tmp_path / LIST).exists()


def test_a_run_goes_on_behind_the_last_whole_line(tmp_path: Path) -> None:
    first = DetectionsLog(tmp_path, numbers=NUMBERS)
    first.write("a.png", [{"score": 0.1}])
    first.write("b.png", [{"score": 0.2}])
    whole = (tmp_path / LINES).read_text()
    (tmp_path / LINES).write_text(whole[:-9])  # killed within the second line
    second = DetectionsLog(tmp_path, numbers=NUMBERS)
    assert second.done == {"a.png"}
    second.write("c.png", [])
    second.write("b.png", [{"score": 0.2}, {"score": 0.3}])
    assert second.write_list() == 3
    found = json.loads((tmp_path / LIST).read_text())
    assert [entry["score"] for entry in found] == [0.1, 0.2, 0.3]  # in the order of the photos


def test_photos_that_are_numbered_otherwise_are_refused(tmp_path: Path) -> None:
    DetectionsLog(tmp_path, numbers=NUMBERS).write("b.png", [])
    with pytest.raises(ValueError, match=r"b\.png is number 2 there, now 1; photos have been"):
        DetectionsLog(tmp_path, numbers={"b.png": 1})
