"""A data set by its path alone: every layout is found, and what is not there is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.folder import available_splits, open_folder

Write = Callable[..., Path]
Content = dict[str, Any]


def read(root: Path, split: str = "train", **changes: Any) -> DetectionDataset:
    arguments: dict[str, Any] = {"classes": None, "invalid_boxes": "error"}
    return open_folder(root=root, split=split, **(arguments | changes))


@pytest.mark.parametrize("images", ["train", "images/train", "images"])
def test_coco_pictures_are_found_in_each_usual_folder(
    tmp_path: Path, coco: Content, write_coco: Write, images: str
) -> None:
    write_coco(tmp_path, coco, images=images)
    dataset = read(tmp_path)
    assert dataset.class_names == ("car", "cat", "toothbrush")
    assert dataset.examples[0].path == tmp_path / images / "b.jpg"


def test_coco_annotations_without_a_folder_of_their_own(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    written = write_coco(tmp_path, coco)
    shutil.move(written, tmp_path / "instances_train.json")
    assert len(read(tmp_path)) == 3
    assert available_splits(tmp_path) == ["train"]


def test_coco_annotations_beside_their_pictures(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    written = write_coco(tmp_path, coco)
    shutil.move(written, tmp_path / "train" / "_annotations.coco.json")
    assert len(read(tmp_path)) == 3


@pytest.mark.parametrize("place", ["", "VOC2012", "VOCdevkit/VOC2007"])
def test_voc_folders_are_found_at_each_usual_depth(
    tmp_path: Path, write_voc: Write, voc_object: Callable[..., str], place: str
) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    write_voc(tmp_path / place, {"one": voc_object("dog", (1, 1, 8, 8))})
    dataset = read(tmp_path)
    assert dataset.class_names[dataset.examples[0].labels[0] - 1] == "dog"
    assert dataset.examples[0].path == tmp_path / place / "JPEGImages" / "one.jpg"


def test_two_voc_years_with_the_split_are_not_chosen_between(
    tmp_path: Path, write_voc: Write
) -> None:
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / year).mkdir()
        write_voc(tmp_path / year, {"one": ""})
    with pytest.raises(ValueError, match=r"VOC2007 and VOC2012 have a split 'train'"):
        read(tmp_path)
    assert len(read(tmp_path / "VOC2012")) == 1


def test_a_split_of_one_year_alone_is_found(tmp_path: Path, write_voc: Write) -> None:
    for year, split in (("VOC2007", "test"), ("VOC2012", "train")):
        (tmp_path / year).mkdir()
        write_voc(tmp_path / year, {"one": ""}, split=split)
    assert read(tmp_path, "test").examples[0].path.is_relative_to(tmp_path / "VOC2007")
    assert available_splits(tmp_path) == ["test", "train"]


def test_a_home_folder_may_be_abbreviated(
    tmp_path: Path, write_voc: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    write_voc(tmp_path / "data", {"one": ""})
    assert len(read(Path("~/data"))) == 1


def test_classes_are_chosen_by_name(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    write_coco(tmp_path, coco)
    dataset = read(tmp_path, classes=["cat", "car"])
    assert dataset.class_names == ("cat", "car")


def test_pictures_may_be_left_out(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    write_coco(tmp_path, coco)
    shutil.rmtree(tmp_path / "train")
    assert len(read(tmp_path, check_images=False)) == 3


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; set data\.root"):
        read(tmp_path / "nowhere")


def test_a_missing_split_names_those_there_are(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    write_coco(tmp_path, coco, "train")
    write_coco(tmp_path, coco, "val2017")
    with pytest.raises(FileNotFoundError, match="no split 'val'") as error:
        read(tmp_path, "val")
    assert "There are train, val2017" in str(error.value)


def test_a_folder_without_any_data_set_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no data set in a known format") as error:
        read(tmp_path)
    assert "annotations/instances_*.json" in str(error.value)
    assert "ImageSets/Main/*.txt" in str(error.value)


def test_lists_of_one_class_are_no_splits(tmp_path: Path, write_voc: Write) -> None:
    write_voc(tmp_path, {"one": ""}, split="trainval")
    write_voc(tmp_path, {"one": ""}, split="dog_trainval")
    assert available_splits(tmp_path) == ["trainval"]


def test_several_splits_are_one_data_set(
    tmp_path: Path, write_voc: Write, voc_object: Callable[..., str]
) -> None:
    for year, names in (("VOC2007", ["a", "b"]), ("VOC2012", ["a"])):
        folder = tmp_path / year
        folder.mkdir()
        write_voc(folder, {name: voc_object("dog", (1, 1, 8, 8)) for name in names})
    dataset = read(tmp_path, "VOC2007/train+VOC2012/train")
    assert [e.path.parent.parent.name for e in dataset.examples] == ["VOC2007"] * 2 + ["VOC2012"]
    assert [e.image_id for e in dataset.examples] == [1, 2, 3]
    assert len(read(tmp_path, "VOC2012/train")) == 1
    with pytest.raises(FileNotFoundError, match="VOC2012"):
        read(tmp_path, "VOC2007/train+VOC2012/test")


def test_splits_with_other_classes_are_not_one_data_set(
    tmp_path: Path, write_voc: Write, voc_object: Callable[..., str]
) -> None:
    for year, name in (("VOC2007", "dog"), ("VOC2012", "unicorn")):
        (tmp_path / year).mkdir()
        write_voc(tmp_path / year, {"a": voc_object(name, (1, 1, 8, 8))})
    with pytest.raises(ValueError, match=r"VOC2007.* and .*VOC2012.* have other classes"):
        read(tmp_path, "VOC2007/train+VOC2012/train")
