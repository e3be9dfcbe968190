"""Which files are looked at: hidden ones and other systems' are not, in a fixed order."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.data.picture_files import (
    find_files,
    find_pictures,
    is_apple_double,
    is_left_out,
    listed_once,
)
from detection.engine.folder_lock import MARKER


@pytest.mark.parametrize("name", [".DS_Store", "._a.jpg", ".git", "__MACOSX", "Thumbs.db"])
def test_what_is_left_out(name: str) -> None:
    assert is_left_out(name)
    assert not is_left_out(f"a{name}")


def test_files_are_found_at_every_depth_and_sorted(tmp_path: Path) -> None:
    names = ["b.jpg", "a/c.PNG", "a/.hidden/d.jpg", "__MACOSX/e.jpg", "album.jpg/f.gif", "g.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [str(path.relative_to(tmp_path)) for path in find_files(tmp_path)]
    assert found == ["a/c.PNG", "album.jpg/f.gif", "b.jpg", "g.txt"]
    assert [path.name for path in find_pictures(tmp_path)] == ["c.PNG", "f.gif", "b.jpg"]
    assert find_files(tmp_path / "nowhere") == []


def test_the_outputs_of_runs_are_left_out_but_for_the_folder_itself(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "out" / "mine", tmp_path / "runs" / "detect"
    for folder in (mine / "worst", theirs / "train", tmp_path / "detect"):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"x")
    (mine / MARKER).write_text("{}", encoding="utf-8")
    assert find_pictures(tmp_path) == [tmp_path / "detect" / "a.jpg"]
    assert len(find_pictures(mine)) == len(find_pictures(theirs)) == 1


def test_a_link_to_a_folder_above_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"x")
    (tmp_path / "in" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [path.name for path in find_files(tmp_path)] == ["a.jpg"]


def test_a_hidden_folder_may_be_the_root(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.jpg").write_bytes(b"x")
    assert len(find_pictures(tmp_path / ".cache")) == 1


def test_a_mac_shadow_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\x00\x05\x16\x07rest")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert is_apple_double(tmp_path / "a.jpg")
    assert not is_apple_double(tmp_path / "b.jpg")
    assert not is_apple_double(tmp_path)


def test_a_folder_is_listed_once_within_a_reading_and_anew_after_it(tmp_path: Path) -> None:
    with listed_once():
        assert find_files(tmp_path) == []
        (tmp_path / "a.jpg").write_bytes(b"x")
        assert find_files(tmp_path) == []
    assert len(find_files(tmp_path)) == 1


def test_links_that_lead_in_circles_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    (tmp_path / "photos" / "up").symlink_to(tmp_path)
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    found = [path for path in find_pictures(tmp_path) if path.name == "a.png"]
    assert found == [tmp_path / "photos" / "a.png"]
