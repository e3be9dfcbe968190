"""Detecting in folders of photos."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detection.engine.detect import detect_images, find_images
from detection.structures import Detections


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of as many grey levels, one in a sub-folder, and a file that is no photo."""
    (tmp_path / "more").mkdir()
    for level, name in enumerate(["a.png", "b.jpg", "c.JPG", "d.png", "more/e.png"]):
        image = np.full((20 + level, 30, 3), 10 * level, dtype=np.uint8)
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), image)[1].tobytes())
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


class FakeDetector:
    """Finds one object whose score is the grey level; notes the size of the mini-batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect_arrays(self, images: list[np.ndarray]) -> list[Detections]:
        self.batches.append(len(images))
        return [
            Detections(torch.zeros(1, 4), torch.tensor([float(image.mean())]), torch.ones(1).long())
            for image in images
        ]


def test_a_folder_a_file_and_a_glob(photos: Path) -> None:
    names = [path.name for path in find_images(str(photos))]
    assert names == ["a.png", "b.jpg", "c.JPG", "d.png", "e.png"]
    assert find_images(str(photos / "a.png")) == [photos / "a.png"]
    assert find_images(str(photos / "*.png")) == [photos / "a.png", photos / "d.png"]


@pytest.mark.parametrize("pattern", ["missing", "*.gif", "more/*.jpg"])
def test_nothing_found_is_an_error(photos: Path, pattern: str) -> None:
    with pytest.raises(FileNotFoundError, match="no images there"):
        find_images(str(photos / pattern))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_each_photo_gets_its_own_detections_in_order(photos: Path, batch_size: int) -> None:
    detector = FakeDetector()
    paths = find_images(str(photos))
    found = list(detect_images(detector, paths, batch_size=batch_size, readers=2))  # type: ignore[arg-type]
    assert [photo.path for photo in found] == paths
    levels = [float(photo.detections.scores[0]) for photo in found]
    assert levels == pytest.approx([0, 10, 20, 30, 40], abs=1)
    assert max(detector.batches) == min(batch_size, 5)


def test_an_unreadable_photo_is_left_out_and_named(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (photos / "b.jpg").read_bytes()
    (photos / "b.jpg").write_bytes(whole[: len(whole) // 2])
    paths = find_images(str(photos))
    with caplog.at_level(logging.ERROR):
        found = list(detect_images(FakeDetector(), paths, batch_size=2, readers=1))  # type: ignore[arg-type]
    assert [photo.path.name for photo in found] == ["a.png", "c.JPG", "d.png", "e.png"]
    assert "b.jpg" in caplog.text
    assert "truncated" in caplog.text
