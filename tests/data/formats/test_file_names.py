"""What the name of a picture means, and when it means nothing."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames, parts_of

FILES = ["images/a.jpg", "images/b c.png", "x/1.jpg", "y/1.jpg", "images/P1.JPG", "naïve.jpg"]


@pytest.fixture
def names(tmp_path: Path) -> FileNames:
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return FileNames(folders=[tmp_path / "images"], root=tmp_path, findings=Findings())


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("a.jpg", "images/a.jpg", ""),
        ("images/a.jpg", "images/a.jpg", "another folder"),  # of images/images/a.jpg
        ("images\\a.jpg", "images/a.jpg", "back-slashes"),
        ("C:\\Users\\me\\a.jpg", "images/a.jpg", "another machine"),
        ("file:///home/me/a.jpg", "images/a.jpg", "another machine"),
        ("https://host/a.jpg?token=1", "images/a.jpg", "another machine"),
        ("/data/local-files/?d=set/a.jpg", "images/a.jpg", "another machine"),
        ("A.jpg", "images/a.jpg", "another case"),
        ("a.jpeg", "images/a.jpg", "another suffix"),
        ("a", "images/a.jpg", "without their suffix"),
        ("b%20c.png", "images/b c.png", "%-codes"),
        ("x/1.jpg", "x/1.jpg", "another folder"),
        ("elsewhere/y/1.jpg", "y/1.jpg", "another folder"),
        ("p1.jpg", "images/P1.JPG", "another case"),
        ("01234567-a.jpg", "images/a.jpg", "eight digits"),
        (unicodedata.normalize("NFD", "naïve.jpg"), "naïve.jpg", "accents"),
    ],
)
def test_a_name_is_found(tmp_path: Path, names: FileNames, name: str, file: str, said: str) -> None:
    assert names.find(name) == tmp_path / file
    assert said in "".join(map(str, names.findings.oddities))
    assert bool(said) == bool(names.findings.oddities)


@pytest.mark.parametrize("name", ["", "/", "none.jpg", "1.jpg", "z/1.jpg", "images"])
def test_a_name_that_fits_none_or_two_is_not_found(names: FileNames, name: str) -> None:
    assert names.find(name) is None
    assert names.findings.oddities == ()


def test_the_folder_of_the_annotation_comes_first(tmp_path: Path, names: FileNames) -> None:
    assert names.find("1.jpg", near=tmp_path / "x") == tmp_path / "x" / "1.jpg"
    assert names.find("1.png", near=tmp_path / "y") == tmp_path / "y" / "1.jpg"


def test_of_mirrored_folders_the_one_that_is_called_alike_counts(
    tmp_path: Path, names: FileNames
) -> None:
    for folder in ("x", "y"):
        assert names.find("1.jpg", near=tmp_path / "labels" / folder) == tmp_path / folder / "1.jpg"
    assert names.find("1.jpg", near=tmp_path / "labels" / "z") is None


def test_what_is_there_instead_is_said(names: FileNames) -> None:
    assert names.nearest("1.jpg") == "2 files are called so, x/1.jpg and y/1.jpg"
    assert names.nearest("aa.jpg") == "the nearest is images/a.jpg"
    assert names.nearest("something else") == ""


def test_parts_of_paths_of_any_system() -> None:
    assert parts_of("..\\label\\.\\a.jpg") == ["label", "a.jpg"]
    assert parts_of("D:/x/a.jpg") == ["x", "a.jpg"]


def test_two_names_for_one_file_are_refused(tmp_path: Path, names: FileNames) -> None:
    assert names.find("a.jpg") == names.find("./a.jpg")
    for near in (tmp_path / "x", tmp_path / "y"):
        names.find("1.jpg", near=near)
    names.refuse_shared(tmp_path)
    names.findings.finish()
    assert names.find("gone/1.jpg") is None
    assert names.find("gone/a.jpg") == tmp_path / "images" / "a.jpg"
    names.refuse_shared(tmp_path)
    with pytest.raises(ValueError, match=r"'a\.jpg' and 'gone/a\.jpg' lead to one picture"):
        names.findings.finish()


@pytest.mark.parametrize(
    ("split", "name", "found"),
    [
        ("val", "1.jpg", None),
        ("test-dev2015", "images/1.jpg", None),
        ("val", "train2017/1.jpg", "train2017/1.jpg"),
        ("validation", "C:\\me\\Train2017\\1.jpg", "train2017/1.jpg"),
        ("trainval", "1.jpg", "train2017/1.jpg"),
        ("training", "1.jpg", "train2017/1.jpg"),
        ("all", "1.jpg", "train2017/1.jpg"),
        ("val", "2.jpg", "valid/2.jpg"),
    ],
)
def test_a_name_is_not_looked_for_in_another_split(
    tmp_path: Path, split: str, name: str, found: str | None
) -> None:
    for file in ("train2017/1.jpg", "train2017/2.jpg", "valid/2.jpg"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    names = FileNames(folders=[tmp_path], root=tmp_path, findings=Findings(), split=split)
    assert names.find(name) == (found and tmp_path / found)
    if found is None:
        assert "train2017/1.jpg is in the folder of another split" in names.nearest(name)
