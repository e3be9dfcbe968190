"""Names of files that writers leave: none stands twice, all can be written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.visualization.picture_file import writable_name, write_picture
from detection.writers.drawings import DrawingsWriter
from detection.writers.video import drawn_video_names, partial_name
from detection.writers.writer import PictureRecord, Stems, folder_names


def test_stems_differ_where_names_do() -> None:
    names = ["a.jpg", "a.png", "A.JPG", "b.c.jpg", "sub/a.jpg", "download", "写真.png"]
    stems = Stems(names)
    found = [stems[name] for name in names]
    assert found == ["a.jpg", "a.png", "A.JPG", "b.c", "sub/a", "download", "写真"]
    assert stems["clip.mp4/000012"] == "clip.mp4/000012"


def test_folders_of_classes_stay_inside_and_differ() -> None:
    found = folder_names(["hot/dog", "hot_dog", "..", "a:b", "Cat", "cat", "Fußgänger", ""])
    assert found == [
        "hot_dog", "hot_dog_2", "class_3", "a_b", "Cat", "cat_6", "Fußgänger", "class_8",
    ]  # fmt: skip


def test_what_cannot_be_written_is_drawn_as_a_jpeg() -> None:
    assert writable_name("a/b.JPG") == "a/b.JPG"
    assert writable_name("x.jfif") == "x.jfif.jpg"
    assert writable_name("download") == "download.jpg"
    assert writable_name("x.gif") == "x.gif.jpg"
    assert partial_name("drawn/clip.mov.mp4") == "drawn/.clip.mov.partial.mp4"


def test_drawn_videos_are_mp4_and_no_two_alike() -> None:
    names = ["clip.avi", "clip.avi.mp4", "clip.AVI", "sub/clip.MP4", "clip.mov", "camera-0"]
    assert [*drawn_video_names([*names, "camera-0.mp4"]).values()] == [
        "drawn/clip.avi.mp4.mp4", "drawn/clip.avi.mp4", "drawn/clip.AVI.mp4.mp4.mp4",
        "drawn/sub/clip.MP4", "drawn/clip.mov.mp4", "drawn/camera-0.mp4.mp4", "drawn/camera-0.mp4",
    ]  # fmt: skip


def test_drawings_of_like_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    names = ["a.jfif", "a.jfif.jpg", "a.JFIF"]
    writer = DrawingsWriter(folder=tmp_path, class_names=["x"], min_score=0.5, names=names)
    targets = writer.outputs.files
    assert len({target.casefold() for target in targets}) == 3
    assert targets[1] == "drawn/a.jfif.jpg"
    for number, name in enumerate(names):
        image = np.full((8, 8, 3), 80 * number, np.uint8)
        writer.add(PictureRecord(number, name, []), image)
    levels = [round(float(cv2.imread(str(tmp_path / t)).mean()), -1) for t in targets]
    assert levels == [0, 80, 160]


def test_a_picture_too_long_for_its_format_is_written_all_the_same(tmp_path: Path) -> None:
    image = np.zeros((2, 70_000, 3), np.uint8)
    write_picture(tmp_path / "写真.jpg", image)
    data = np.fromfile(tmp_path / "写真.jpg", np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == image.shape
    with pytest.raises(ValueError, match=r"x\.none"):
        write_picture(tmp_path / "x.none", image)
    assert [path.name for path in tmp_path.iterdir()] == ["写真.jpg"]
