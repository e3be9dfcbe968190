"""ImageNet DET: its tree, its lists, its synsets, its 0-based boxes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.imagenet_det import read_classes
from detection.data.formats.imagenet_det_classes import DET_CLASSES
from detection.data.formats.open import available_splits, open_dataset

DOG, ZEBRA = "n02084071", "n02391049"
# In pictures of 80 x 60; the second is the whole picture.
XML = {
    "train/n02084071/n02084071_1": [(DOG, (0, 10, 19, 29))],
    "train/extra/both": [(DOG, (0, 0, 79, 59)), (ZEBRA, (5, 5, 9, 9))],
    "val/ILSVRC2012_val_00000001": [(ZEBRA, (70, 50, 79, 59))],
}
LISTS = {
    "train_1": "n02084071/n02084071_1 1\nextra/both 1\nextra/partly 0\nextra/none -1\n",
    "train_2": "extra/both 1\n",
    "val": "ILSVRC2012_val_00000001 1\n",
    "test": "ILSVRC2012_test_00000001 1\n",
}


@pytest.fixture
def root(tmp_path: Path, write_picture: Callable[..., None]) -> Path:
    for name, objects in XML.items():
        path = tmp_path / "Annotations" / "DET" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        boxes = "".join(
            f"<object><name>{synset}</name><bndbox><xmin>{x1}</xmin><xmax>{x2}</xmax>"
            f"<ymin>{y1}</ymin><ymax>{y2}</ymax></bndbox></object>"
            for synset, (x1, y1, x2, y2) in objects
        )
        size = "<size><width>80</width><height>60</height></size>"
        path.write_text(f"<annotation>{size}{boxes}</annotation>")
    for name in (*XML, "test/ILSVRC2012_test_00000001", "train/extra/none"):
        # OpenCV knows formats by their suffix, .jpg among them and .JPEG too.
        write_picture(tmp_path / "Data" / "DET" / f"{name}.JPEG", 60, 80)
    (tmp_path / "ImageSets" / "DET").mkdir(parents=True)
    for name, content in LISTS.items():
        (tmp_path / "ImageSets" / "DET" / f"{name}.txt").write_text(content)
    return tmp_path


def read(root: Path, split: str, **changes: Any) -> DetectionDataset:
    arguments: dict[str, Any] = {"classes": None, "invalid_boxes": "error"}
    return open_dataset(root=root, split=split, **(arguments | changes))


def test_the_training_set_is_what_is_positive_in_some_list(root: Path) -> None:
    dataset = read(root, "train")
    assert [example.path.stem for example in dataset.examples] == ["n02084071_1", "both"]
    assert len(dataset.class_names) == 200
    names = [[dataset.class_names[i - 1] for i in e.labels] for e in dataset.examples]
    assert names == [["dog"], ["dog", "zebra"]]
    assert available_splits(root) == ["test", "train", "val"]


def test_boxes_are_zero_based_and_inclusive(root: Path) -> None:
    first, second = read(root, "train").examples
    assert first.boxes.tolist() == [[0, 10, 20, 30]]  # 0 ... 19 is 20 pixels wide
    assert second.boxes[0].tolist() == [0, 0, 80, 60]
    assert first.annotated.tolist() == [[0, 10, 20, 20]]


def test_a_list_may_be_a_part_of_val(root: Path) -> None:
    lists = root / "ImageSets" / "DET"
    (lists / "val1.txt").write_text(LISTS["val"])
    assert read(root, "val1").examples[0].path == read(root, "val").examples[0].path
    both = open_dataset(root=root, split=["train", "val1"], classes=None, invalid_boxes="error")
    assert [example.image_id for example in both.examples] == [1, 2, 3]
    (lists / "mine.txt").write_text(LISTS["val"])
    with pytest.raises(ValueError, match="'mine' must begin with"):
        read(root, "mine")


def test_an_image_without_a_file_of_annotations_is_background(root: Path) -> None:
    (root / "ImageSets" / "DET" / "train_3.txt").write_text("extra/none 1\n")
    dataset = read(root, "train")
    assert dataset.annotated
    assert dataset.examples[-1].size == (60, 80)
    assert len(dataset.examples[-1].labels) == 0


def test_the_test_set_is_not_annotated(root: Path) -> None:
    dataset = read(root, "test")
    assert not dataset.annotated
    assert dataset.examples[0].size == (60, 80)


def test_val_must_have_its_annotations(root: Path) -> None:
    (root / "Annotations" / "DET" / "val" / "ILSVRC2012_val_00000001.xml").unlink()
    with pytest.raises(FileNotFoundError, match="no image of val has its annotation"):
        read(root, "val")


def test_the_trees_own_list_of_classes_comes_first(root: Path) -> None:
    path = root / "devkit" / "data" / "map_det.txt"
    path.parent.mkdir(parents=True)
    path.write_text(f"{ZEBRA} 2 zebra\n{DOG} 1 a dog\n")
    dataset = read(root, "train")
    assert dataset.class_names == ("a dog", "zebra")
    path.write_text(f"{ZEBRA} 1 zebra\n")
    with pytest.raises(ValueError, match="an object is a 'n02084071', none of the 1 synsets"):
        read(root, "train")
    path.write_text(f"{ZEBRA} zebra\n")
    with pytest.raises(ValueError, match=r"map_det\.txt:1: a line is"):
        read_classes(root)


def test_a_missing_picture_is_named(root: Path) -> None:
    (root / "Data" / "DET" / "train" / "extra" / "both.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images are missing, .*both\.JPEG"):
        read(root, "train")


def test_the_200_classes_of_the_challenge() -> None:
    assert len(DET_CLASSES) == len(set(DET_CLASSES.values())) == 200
    assert all(synset[0] == "n" and synset[1:].isdigit() for synset in DET_CLASSES)
    # The ids follow the names, whatever their case, but for the bow tie before the bow.
    names = [name.lower() for name in DET_CLASSES.values()]
    unsorted = [(a, b) for a, b in itertools.pairwise(names) if a > b]
    assert unsorted == [("bow tie", "bow")]
    assert (DET_CLASSES["n02883205"], DET_CLASSES["n02879718"]) == ("bow tie", "bow")
