"""ImageNet CLS-LOC: its tree, its lists, its synsets, its 0-based boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.imagenet_loc import read_synsets
from detection.data.formats.open import available_splits, open_dataset

TENCH, GOLDFISH = "n01440764", "n01443537"
MAPPING = f"{TENCH} tench, Tinca tinca\n{GOLDFISH} goldfish, Carassius auratus\n"
# In pictures of 80 x 60.
XML: dict[str, tuple[str, list[tuple[int, ...]]]] = {
    "train/n01443537/n01443537_2": (GOLDFISH, [(0, 10, 19, 29), (40, 0, 79, 59)]),
    "train/n01440764/n01440764_18": (TENCH, [(5, 5, 9, 9)]),
    "val/ILSVRC2012_val_00000001": (GOLDFISH, [(70, 50, 79, 59)]),
}
VAL = "val/ILSVRC2012_val_00000001"


@pytest.fixture
def root(tmp_path: Path, write_picture: Callable[..., None]) -> Path:
    for name, (synset, corners) in XML.items():
        path = tmp_path / "Annotations" / "CLS-LOC" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        objects = "".join(
            f"<object><name>{synset}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for x1, y1, x2, y2 in corners
        )
        size = "<size><width>80</width><height>60</height></size>"
        path.write_text(f"<annotation>{size}{objects}</annotation>")
        write_picture(tmp_path / "Data" / "CLS-LOC" / f"{name}.JPEG", 60, 80)
    (tmp_path / "Data" / "CLS-LOC" / "test").mkdir()
    (tmp_path / "LOC_synset_mapping.txt").write_text(MAPPING)
    return tmp_path


def read(root: Path, split: str, **changes: Any) -> DetectionDataset:
    arguments: dict[str, Any] = {"classes": None, "invalid_boxes": "error"}
    return open_dataset(root=root, split=split, **(arguments | changes))


def test_the_tree_is_recognised(root: Path) -> None:
    assert available_splits(root) == ["train", "val"]
    dataset = read(root, "train")
    assert dataset.format == "ImageNet CLS-LOC"
    assert dataset.class_names == (TENCH, GOLDFISH)
    assert [e.path.stem for e in dataset.examples] == ["n01440764_18", "n01443537_2"]
    assert [e.labels.tolist() for e in dataset.examples] == [[1], [2, 2]]


def test_boxes_are_zero_based_and_inclusive(root: Path) -> None:
    _, goldfish = read(root, "train").examples
    assert goldfish.boxes.tolist() == [[0, 10, 20, 30], [40, 0, 80, 60]]
    assert read(root, "val").examples[0].boxes.tolist() == [[70, 50, 80, 60]]


def test_a_list_says_which_pictures_are_trained_on(root: Path) -> None:
    lists = root / "ImageSets" / "CLS-LOC"
    lists.mkdir(parents=True)
    (lists / "train_loc.txt").write_text("n01443537/n01443537_2 1\n")
    assert [e.path.stem for e in read(root, "train").examples] == ["n01443537_2"]


def test_pictures_of_val_may_be_sorted_by_class(root: Path) -> None:
    flat = root / "Data" / "CLS-LOC" / f"{VAL}.JPEG"
    sorted_into = flat.parent / GOLDFISH / flat.name
    sorted_into.parent.mkdir()
    flat.rename(sorted_into)
    assert read(root, "val").examples[0].path == sorted_into


def test_without_the_mapping_the_folders_are_the_classes(root: Path) -> None:
    assert read_synsets(root)[TENCH] == "tench, Tinca tinca"
    (root / "LOC_synset_mapping.txt").unlink()
    assert read_synsets(root) == {TENCH: "", GOLDFISH: ""}
    assert read(root, "val").class_names == (TENCH, GOLDFISH)


def test_what_is_wrong_is_named(root: Path) -> None:
    mapping = root / "LOC_synset_mapping.txt"
    mapping.write_text(f"{TENCH} tench\n")
    with pytest.raises(ValueError, match=r"n01443537_2.xml: an object is a 'n01443537', none of"):
        read(root, "train")
    mapping.write_text(MAPPING + MAPPING)
    with pytest.raises(ValueError, match="txt:3: n01440764 occurs twice"):
        read(root, "train")
    mapping.write_text(MAPPING)
    (root / "Data" / "CLS-LOC" / f"{VAL}.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 1 images are missing"):
        read(root, "val")
