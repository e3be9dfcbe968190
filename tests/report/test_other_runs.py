"""Runs to compare with, as they lie on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.report.other_runs import read_run


@pytest.fixture
def run(scene: Callable[..., Any], tmp_path: Path) -> tuple[Path, dict[str, Any], list[Any]]:
    """A folder, the ground truth and the detections."""
    dataset, detections = scene(5, 1)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "detections.json").write_text(json.dumps(detections))
    (folder / "metrics.json").write_text(json.dumps({"coco": {"AP": 0.25}}))
    return folder, dataset.to_coco(), detections


def test_the_folder_of_a_test_is_read(run: tuple[Path, dict[str, Any], list[Any]]) -> None:
    folder, truth, detections = run
    # Of a class that its detector knows and the data set has not.
    more = [*detections, {**detections[0], "category_id": 999}]
    (folder / "detections.json").write_text(json.dumps(more))
    found = read_run(folder, truth)
    assert (found.name, found.detections, found.AP) == ("run", detections, 0.25)
    (folder / "metrics.json").unlink()
    assert read_run(folder, truth).AP is None


def test_the_folder_of_a_detection_belongs_to_the_pictures_by_name(
    run: tuple[Path, dict[str, Any], list[Any]],
) -> None:
    folder, truth, detections = run
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    other = [
        {**one, "image_id": 1000 + one["image_id"], "file_name": names[one["image_id"]]}
        for one in detections
    ]
    (folder / "detections.json").write_text(json.dumps(other))
    found = read_run(folder, truth).detections
    assert [one["image_id"] for one in found] == [one["image_id"] for one in detections]


def test_a_file_of_detections_is_read(run: tuple[Path, dict[str, Any], list[Any]]) -> None:
    folder, truth, detections = run
    assert read_run(folder / "detections.json", truth).detections == detections


def test_what_is_no_run_is_refused(run: tuple[Path, dict[str, Any], list[Any]]) -> None:
    folder, truth, detections = run
    with pytest.raises(ValueError, match=r"nowhere: detections must be an existing"):
        read_run(folder / "nowhere", truth)
    file = folder / "detections.json"
    for content, words in (
        ('{"a": 1}', "not a list of detections"),
        ("[1]", "not a list of detections"),
        ("[", "not a JSON file"),
        (json.dumps([{**detections[0], "image_id": 4711}]), r"detections\[0\]|json\[0\]"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=words):
            read_run(folder, truth)
    file.unlink()
    with pytest.raises(ValueError, match=r"run: no run to compare with: there is no detections"):
        read_run(folder, truth)
