"""What images= stands for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detection.data.image import SUFFIXES, read_image, read_size
from detection.data.picture_files import OTHER_SUFFIXES
from detection.engine.inputs import find_inputs, skipped_line


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures and a video, and what lies beside pictures on real disks."""
    for name in (
        "a.png", "b.JPG", "c.jfif", "d.gif", "more/e.avif", "clip.MP4", "notes.txt", "x.heic",
        "y.HEIC", "README", "Thumbs.db", ".hidden.jpg", "._a.png", "__MACOSX/a.png",
        ".ipynb_checkpoints/a-checkpoint.png", ".thumbnails/a.png", "album.jpg/f.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"some bytes")
    (tmp_path / "mac.jpg").write_bytes(b"\x00\x05\x16\x07 of another file")
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_stands_for_its_pictures_and_videos(photos: Path) -> None:
    found = find_inputs(str(photos))
    assert sorted(names(found.pictures)) == ["a.png", "b.JPG", "c.jfif", "d.gif", "e.avif", "f.png"]
    assert names(found.videos) == ["clip.MP4"]
    assert found.skipped == Counter({".heic": 2, ".txt": 1, "no suffix": 1})
    assert found.names()[photos / "album.jpg/f.png"] == "album.jpg/f.png"
    assert skipped_line(found.skipped) == "4 other files left out: 2 .heic, 1 .txt, 1 no suffix"


def test_a_file_and_a_glob(photos: Path) -> None:
    assert find_inputs(str(photos / "a.png")).pictures == [photos / "a.png"]
    assert find_inputs(str(photos / "README")).pictures == [photos / "README"]  # named, so taken
    assert names(find_inputs(str(photos / "*.*")).pictures) == ["a.png", "b.JPG", "c.jfif", "d.gif"]
    assert names(find_inputs(str(photos / "**/*.png")).pictures) == ["a.png", "f.png"]
    assert names(find_inputs(str(photos / "*.MP4")).videos) == ["clip.MP4"]


@pytest.mark.parametrize("pattern", ["missing", "*.bmp", "more/*.jpg", "missing.jpg"])
def test_nothing_found_is_an_error(photos: Path, pattern: str) -> None:
    with pytest.raises(FileNotFoundError, match="no images there; give a file"):
        find_inputs(str(photos / pattern))


def test_a_folder_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    for name in ("a.heic", "b.heic", "c.xml"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"no images there, but 2 \.heic, 1 \.xml; give"):
        find_inputs(str(tmp_path))


def test_several_are_found_once_each_in_their_order(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    for name in ("a (1).jpg", "[b].jpg", "it's.png"):
        (photos / "more" / name).touch()
    found = find_inputs(["more/it's.png", str(photos / "more"), "more/../more/[b].jpg"])
    assert names(found.pictures) == ["it's.png", "[b].jpg", "a (1).jpg", "e.avif"]
    assert set(found.names().values()) == {"it's.png", "[b].jpg", "a (1).jpg", "e.avif"}


def test_a_list_names_files_beside_it_or_in_the_current_folder(
    photos: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "写真.png").touch()
    monkeypatch.chdir(here)
    lines = [
        "a.png",
        "",
        "写真.png",
        "  more  ",
        "clip.MP4",
        "*.JPG",
        str(here / "写真.png"),
        "no.jpg",
    ]
    for encoding, newline in (("utf-8", "\n"), ("utf-8-sig", "\r\n")):
        (photos / "list.txt").write_text("\n".join(lines), encoding=encoding, newline=newline)
        found = find_inputs(str(photos / "list.txt"))
        assert names(found.pictures) == ["a.png", "写真.png", "e.avif", "b.JPG", "no.jpg"]
        assert names(found.videos) == ["clip.MP4"]
    (photos / "list.txt").write_text("\n\n")
    with pytest.raises(FileNotFoundError, match=r"list\.txt: the list is empty"):
        find_inputs(str(photos / "list.txt"))
    (photos / "list.txt").write_bytes("café.jpg".encode("latin-1"))
    with pytest.raises(ValueError, match=r"list\.txt: a list of pictures must be UTF-8"):
        find_inputs(str(photos / "list.txt"))


def test_cameras_are_numbers_or_addresses() -> None:
    found = find_inputs(["camera:0", "camera:rtsp://cam/1", "rtsp://cam/2"])
    assert found.cameras == [0, "rtsp://cam/1", "rtsp://cam/2"]
    assert [*found.camera_names().values()] == ["camera-0", "camera-1", "camera-2"]
    mixed = find_inputs(["rtsp://hall", "camera:0", "rtsp://cellar", "camera:3", "camera:0"])
    assert mixed.camera_names() == {
        "rtsp://hall": "camera-1", 0: "camera-0", "rtsp://cellar": "camera-2", 3: "camera-3",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"camera:front: a camera is camera:0"):
        find_inputs("camera:front")


@pytest.mark.parametrize("suffix", SUFFIXES + OTHER_SUFFIXES)
def test_every_suffix_of_the_list_is_read(tmp_path: Path, suffix: str) -> None:
    image = np.full((80, 90, 3), (40, 90, 200), np.uint8)
    path = tmp_path / f"a{suffix}"
    if cv2.haveImageWriter(path.name):
        cv2.imwrite(str(path), image)
    else:
        Image.fromarray(image[..., ::-1]).save(path)
    assert np.abs(read_image(path).mean(axis=(0, 1)) - image[0, 0]).max() < 12
    assert read_size(path) == (80, 90)


def test_a_file_that_is_something_else_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    for start, name in (
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"<!DOCTYPE html><title>404</title>", "HTML page"),
        (b"\x00\x05\x16\x07", "AppleDouble"),
        (b"PK\x03\x04", "ZIP"),
    ):
        path.write_bytes(start + bytes(40))
        with pytest.raises(ValueError, match=rf"not a readable image \(\d+ bytes, a {name}"):
            read_image(path)
