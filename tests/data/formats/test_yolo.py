"""YOLO's files: where they may lie, what a line means, what says that there is nothing to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import available_splits

Write = Callable[..., Path]
Read = Callable[..., dict[str, DetectionDataset]]
# The centre 32, 24 of 64 x 48, a quarter wide and half as high: 24, 12 to 40, 36.
LINE = "1 0.5 0.5 0.25 0.5\n"
BOX = ("jug", [24, 12, 40, 36])


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("../train/images", "../valid/images"),  # Roboflow's: of a folder that is not there
        ("train/images", "./valid/images"),
        ("/content/mine/train/images", "/content/mine/valid/images"),
        ("train.txt", "valid.txt"),
    ],
)
def test_the_paths_of_a_yaml_are_found(
    write_files: Write, read_all: Read, objects: Any, train: str, val: str
) -> None:
    root = write_files(
        {
            "data.yaml": f"train: {train}\nval: {val}\nnc: 2\nnames: ['mug', 'jug']\n",
            "train/images/a.jpg": None,
            "train/labels/a.txt": LINE,
            "train/images/b.jpg": None,
            "train/labels/b.txt": "",
            "valid/images/a.jpg": None,
            "valid/labels/a.txt": "0 0.5 0.5 1 1",
            "train.txt": "./train/images/a.jpg\ntrain/images/b.jpg\n",
            "valid.txt": "valid/images/a.jpg\n",
        }
    )
    for place in (root, root / "data.yaml"):
        splits = read_all(place)
        assert objects(splits["train"]) == {"a.jpg": [BOX], "b.jpg": []}
        assert objects(splits["val"]) == {"a.jpg": [("mug", [0, 0, 64, 48])]}
        assert splits["train"].class_names == ("mug", "jug")


@pytest.mark.parametrize(
    ("picture", "label", "split"),
    [
        ("images/a.jpg", "labels/a.txt", "all"),
        ("images/train/a.jpg", "labels/train/a.txt", "train"),
        ("train/images/a.jpg", "train/labels/a.txt", "train"),
        ("a.jpg", "a.txt", "all"),
        ("deep/er/images/a.jpg", "deep/er/labels/a.txt", "all"),
        ("images/A.JPG", "labels/a.TXT", "all"),
    ],
)
def test_labels_are_found_without_a_yaml(
    write_files: Write, read_all: Read, objects: Any, picture: str, label: str, split: str
) -> None:
    root = write_files({picture: None, label: LINE, "classes.txt": "mug\njug\n"})
    (found,) = read_all(root).items()
    assert found[0] == split
    assert objects(found[1]) == {Path(picture).name: [BOX]}


def test_names_may_be_a_table_of_numbers_in_a_yaml(write_files: Write, read_all: Read) -> None:
    root = write_files(
        {
            "my.yaml": "path: .\ntrain: images\nnames:\n  1: jug\n  0: mug\n",
            "images/a.jpg": None,
            "labels/a.txt": LINE,
        }
    )
    assert read_all(root)["train"].class_names == ("mug", "jug")


def test_names_come_from_label_studios_notes(write_files: Write, read_all: Read) -> None:
    notes = {"categories": [{"id": 1, "name": "jug"}, {"id": 0, "name": "mug"}]}
    root = write_files({"images/a.jpg": None, "labels/a.txt": LINE, "notes.json": notes})
    assert read_all(root)["all"].class_names == ("mug", "jug")


def test_classes_without_names_are_called_by_their_numbers(
    write_files: Write, read_all: Read
) -> None:
    dataset = read_all(write_files({"images/a.jpg": None, "labels/a.txt": LINE}))["all"]
    assert dataset.class_names == ("0", "1")
    assert "class names missing" in str(dataset.oddities[0])


def test_the_box_of_a_polygon_is_taken(write_files: Write, read_all: Read, objects: Any) -> None:
    line = "1 0.375 0.25 0.625 0.5 0.5 0.75\n"
    root = write_files({"images/a.jpg": None, "labels/a.txt": line, "classes.txt": "mug\njug\n"})
    assert objects(read_all(root)["all"]) == {"a.jpg": [BOX]}


def test_a_test_split_without_labels_is_not_annotated(write_files: Write, read_all: Read) -> None:
    files = {f"images/{split}/a.jpg": None for split in ("train", "test")}
    root = write_files(files | {"labels/train/a.txt": LINE, "classes.txt": "mug\njug\n"})
    splits = read_all(root)
    assert [splits[name].annotated for name in ("train", "test")] == [True, False]


def test_a_training_split_without_labels_is_refused(write_files: Write, read_all: Read) -> None:
    files = {f"images/{split}/a.jpg": None for split in ("train", "val")}
    root = write_files(files | {"labels/train/a.txt": LINE, "classes.txt": "mug\njug\n"})
    with pytest.raises(ValueError, match=r"none of the 1 pictures of val has a label file"):
        read_all(root)


def test_stray_labels_are_counted(write_files: Write, read_all: Read) -> None:
    root = write_files(
        {"images/a.jpg": None, "labels/a.txt": LINE, "labels/gone.txt": LINE, "classes.txt": "a\nb"}
    )
    assert "label file without a picture" in str(read_all(root)["all"].oddities)


def test_a_folder_of_other_texts_is_no_data_set(write_files: Write) -> None:
    root = write_files({"a.jpg": None, "a.txt": "a caption of five words here\n"})
    assert available_splits(root) == []
