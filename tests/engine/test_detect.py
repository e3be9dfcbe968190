"""Detecting in folders of photos."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detection.engine import detect
from detection.engine.detect import detect_images
from detection.engine.inputs import find_inputs
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


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_each_photo_gets_its_own_detections_in_order(photos: Path, batch_size: int) -> None:
    detector = FakeDetector()
    paths = find_inputs(str(photos)).pictures
    found = list(detect_images(detector.detect_arrays, paths, batch_size=batch_size, readers=2))
    assert [photo.path for photo in found] == paths
    levels = [float(photo.detections.scores[0]) for photo in found]
    assert levels == pytest.approx([0, 10, 20, 30, 40], abs=1)
    assert max(detector.batches) == min(batch_size, 5)


def test_alike_shapes_lie_side_by_side(tmp_path: Path) -> None:
    # Landscape, portrait, landscape ... of several scales: each mini-batch has one of the two.
    for number in range(8):
        scale, is_portrait = 1 + number // 4, number % 2
        shape = (30 * scale, 20 * scale, 3) if is_portrait else (20 * scale, 30 * scale, 3)
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros(shape, np.uint8))
    (tmp_path / "8.png").write_bytes(b"no picture")
    paths = find_inputs(str(tmp_path)).pictures
    found = list(detect_images(FakeDetector().detect_arrays, paths, batch_size=4, readers=1))
    order = [int(photo.path.stem) for photo in found]
    assert order == [0, 2, 4, 6, 1, 3, 5, 7]
    # One by one, and from one window to the next, they come in their order.
    found = list(detect_images(FakeDetector().detect_arrays, paths, batch_size=1, readers=1))
    assert [int(photo.path.stem) for photo in found] == [*range(8)]
    many = paths[:2] * 40
    found = list(detect_images(FakeDetector().detect_arrays, many, batch_size=4, readers=1))
    assert [photo.path for photo in found] == [
        *paths[:1] * 32, *paths[1:2] * 32, *paths[:1] * 8, *paths[1:2] * 8
    ]  # fmt: skip


def test_an_unreadable_photo_is_left_out_and_named(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (photos / "b.jpg").read_bytes()
    (photos / "b.jpg").write_bytes(whole[: len(whole) // 2])
    paths = find_inputs(str(photos)).pictures
    with caplog.at_level(logging.WARNING):
        found = list(detect_images(FakeDetector().detect_arrays, paths, batch_size=2, readers=1))
    assert [photo.path.name for photo in found] == ["a.png", "c.JPG", "d.png", "e.png"]
    assert "b.jpg" in caplog.text
    assert "truncated" in caplog.text


def test_a_missing_photo_is_left_out(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [photos / "none.png", photos / "a.png"]
    found = list(detect_images(FakeDetector().detect_arrays, paths, batch_size=2, readers=1))
    assert [photo.path.name for photo in found] == ["a.png"]
    assert f"left out: {photos / 'none.png'}: no such image" in caplog.text


def test_no_more_pixels_are_read_ahead_than_the_limit(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "PIXELS_AHEAD", 1300)  # two of the photos, of 600 to 720 each
    reading: list[str] = []
    original = detect._read

    def read(path: Path) -> object:
        reading.append(path.name)
        return original(path)

    monkeypatch.setattr(detect, "_read", read)
    detector, paths = FakeDetector(), find_inputs(str(photos)).pictures
    found = detect_images(detector.detect_arrays, paths, batch_size=4, readers=2)
    assert next(found).path.name == "a.png"
    assert len(reading) <= 2
    assert [photo.path.name for photo in found] == ["b.jpg", "c.JPG", "d.png", "e.png"]
    assert max(detector.batches) == 2
    # One that is larger than the limit is alone.
    monkeypatch.setattr(detect, "PIXELS_AHEAD", 100)
    detector = FakeDetector()
    assert len(list(detect_images(detector.detect_arrays, paths, batch_size=4, readers=2))) == 5
    assert detector.batches == [1] * 5


def test_a_file_of_several_pictures_is_told_apart(tmp_path: Path) -> None:
    one, two = (Image.new("RGB", (30, 20), colour) for colour in ("red", "blue"))
    for suffix in ("gif", "webp", "png", "tif"):
        one.save(tmp_path / f"one.{suffix}")
        one.save(tmp_path / f"several.{suffix}", save_all=True, append_images=[two])
    paths = find_inputs(str(tmp_path)).pictures
    assert len(paths) == 8
    found = list(detect_images(FakeDetector().detect_arrays, paths, batch_size=8, readers=1))
    assert [photo.more for photo in found] == [path.stem == "several" for path in paths]
    assert all(photo.image[0, 0, 2] > 200 for photo in found)  # the first one, the red
