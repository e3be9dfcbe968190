"""A data set is opened by its path: every tree is recognised, and errors say what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.box_check import BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset, Example
from detection.data.formats.coco import Coco
from detection.data.formats.format import ALL
from detection.data.formats.open import FORMATS, available_splits, open_dataset
from detection.data.formats.voc import Voc

Write = Callable[..., Path]
Content = dict[str, Any]


def read(root: Path, split: str = "train", **changes: Any) -> DetectionDataset:
    arguments: dict[str, Any] = {"classes": None, "invalid_boxes": "error"}
    return open_dataset(root=root, split=split, **(arguments | changes))


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


@pytest.mark.parametrize("folder", ["", "VOC2012", "VOCdevkit/VOC2007"])
def test_voc_folders_are_found_at_each_usual_depth(
    tmp_path: Path, write_voc: Write, voc_object: Callable[..., str], folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    write_voc(tmp_path / folder, {"one": voc_object("dog", (1, 1, 8, 8))})
    dataset = read(tmp_path)
    assert dataset.class_names[dataset.examples[0].labels[0] - 1] == "dog"
    assert dataset.examples[0].path == tmp_path / folder / "JPEGImages" / "one.jpg"


def test_two_voc_years_with_the_split_are_not_chosen_between(
    tmp_path: Path, write_voc: Write
) -> None:
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / year).mkdir()
        write_voc(tmp_path / year, {"one": ""})
    with pytest.raises(ValueError, match=r"VOC2007 and VOC2012 have a split 'train'") as e:
        read(tmp_path)
    assert "[VOC2007/train,VOC2012/train]" in str(e.value)
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
    assert len(read(tmp_path, "val")) == len(read(tmp_path, "val2017"))
    write_coco(tmp_path, coco, "val2014")
    with pytest.raises(FileNotFoundError, match="no split 'val'") as error:
        read(tmp_path, "val")
    assert "There are train, val2014, val2017" in str(error.value)


def test_a_folder_without_any_data_set_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no data set in a known format") as error:
        read(tmp_path)
    known = "COCO, ImageNet DET, ImageNet CLS-LOC, VOC"
    assert f"the folder is empty. What is read is {known}" in str(error.value)
    assert len(str(error.value)) < 400


def test_lists_of_one_class_are_no_splits(tmp_path: Path, write_voc: Write) -> None:
    write_voc(tmp_path, {"one": ""}, split="trainval")
    write_voc(tmp_path, {"one": ""}, split="dog_trainval")
    assert available_splits(tmp_path) == ["trainval"]


def write_two_years(root: Path, write_voc: Write, voc_object: Callable[..., str]) -> None:
    for year, name, kind in (("VOC2007", "000001", "dog"), ("VOC2012", "2008_000002", "cat")):
        (root / "VOCdevkit" / year).mkdir(parents=True)
        write_voc(root / "VOCdevkit" / year, {name: voc_object(kind, (1, 1, 8, 8))}, "trainval")


def test_splits_of_several_years_are_one_data_set(
    tmp_path: Path, write_voc: Write, voc_object: Callable[..., str]
) -> None:
    write_two_years(tmp_path, write_voc, voc_object)
    splits = ["VOC2007/trainval", "VOC2012/trainval"]
    dataset = open_dataset(root=tmp_path, split=splits, classes=None, invalid_boxes="error")
    assert [example.image_id for example in dataset.examples] == [1, 2]
    names = [dataset.class_names[example.labels[0] - 1] for example in dataset.examples]
    assert names == ["dog", "cat"]
    assert len(dataset.class_names) == 20
    assert available_splits(tmp_path) == splits
    assert len(read(tmp_path, "VOC2012/trainval")) == 1


def test_a_folder_that_a_split_names_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder VOC2007 in it"):
        read(tmp_path, "VOC2007/trainval")


def test_coco_ids_stay_in_a_union_where_they_are_distinct(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    write_coco(tmp_path, coco, "train2014")
    others = [{**image, "id": image["id"] + 1000} for image in coco["images"]]
    write_coco(tmp_path, coco | {"images": others, "annotations": []}, "val2014")
    dataset = open_dataset(
        root=tmp_path, split=["train2014", "val2014"], classes=None, invalid_boxes="error"
    )
    assert [e.image_id for e in dataset.examples] == [42, 7, 9, 1042, 1007, 1009]
    assert dataset.category_ids == (3, 17, 90)


def test_classes_that_one_part_of_a_union_lacks_are_kept(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    write_coco(tmp_path, coco, "a")
    robot = {"id": 3, "name": "robot"}  # 3 is the car in the other part
    annotation = {"id": 1, "image_id": 42, "category_id": 3, "bbox": [1, 1, 5, 5]}
    write_coco(tmp_path, coco | {"categories": [robot], "annotations": [annotation]}, "b")
    dataset = open_dataset(root=tmp_path, split=["a", "b"], classes=None, invalid_boxes="error")
    assert dataset.class_names == ("car", "cat", "toothbrush", "robot")
    assert dataset.category_ids == (1, 2, 3, 4)
    assert dataset.examples[3].labels.tolist() == [4]


@pytest.mark.parametrize(
    ("split", "folder"),
    [("minival2014", "val2014"), ("valminusminival2014", "images/val2014")],
)
def test_parts_of_a_year_find_its_pictures(
    tmp_path: Path, coco: Content, write_coco: Write, split: str, folder: str
) -> None:
    write_coco(tmp_path, coco, split, images=folder)
    (tmp_path / "train2014").mkdir()
    assert read(tmp_path, split).examples[0].path == tmp_path / folder / "b.jpg"


def test_a_coco_test_set_has_no_annotations(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    written = write_coco(tmp_path, coco, "x", images="test2015")
    content = {"images": coco["images"], "categories": coco["categories"]}
    written.unlink()
    written.with_name("image_info_test-dev2015.json").write_text(json.dumps(content))
    dataset = read(tmp_path, "test-dev2015")
    assert not dataset.annotated
    assert len(dataset) == 3
    assert dataset.class_names == ("car", "cat", "toothbrush")
    assert available_splits(tmp_path) == ["test-dev2015"]


def test_a_folder_one_level_down_is_found_unless_there_are_two(
    tmp_path: Path, write_voc: Write
) -> None:
    for parent in ("first", "second"):
        (tmp_path / parent / "VOC2012").mkdir(parents=True)
        write_voc(tmp_path / parent / "VOC2012", {parent: ""})
    with pytest.raises(
        ValueError, match=r"fits .*; name one of them: first/VOC2012/train"
    ) as error:
        read(tmp_path, "VOC2012/train")
    assert str(tmp_path / "second" / "VOC2012") in str(error.value)
    assert read(tmp_path, "second/VOC2012/train").examples[0].path.stem == "second"
    shutil.rmtree(tmp_path / "first")
    assert read(tmp_path, "VOC2012/train").examples[0].path.stem == "second"


class Table:
    """A format of another package: root is one file, a line is "picture,class,x1,y1,x2,y2"."""

    name = "Table"

    def splits(self, root: Path) -> list[str]:
        return [ALL] if root.suffix == ".csv" else []

    def has_split(self, root: Path, split: str) -> bool:
        return split in self.splits(root)

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        rows = [line.split(",") for line in root.read_text().splitlines()]
        names = tuple(sorted({row[1] for row in rows}))
        check = BoxCheck(source=root, on_invalid=invalid_boxes)
        examples = []
        for number, (picture, name, *corners) in enumerate(rows, start=1):
            given = np.array([corners], dtype=np.float32)
            boxes, kept = check(given, (60, 80), [f"line {number}"])
            example = Example(
                image_id=number,
                path=root.parent / picture,
                size=(60, 80),
                boxes=boxes,
                labels=np.array([names.index(name) + 1]),
                crowd=np.zeros(1, dtype=bool),
                difficult=np.zeros(1, dtype=bool),
                annotated=given.astype(np.float64),
                areas=np.ones(1),
            )
            examples.append(example.keep(kept))
        check.finish()
        return DetectionDataset(names, tuple(range(1, len(names) + 1)), examples, root)


def test_a_format_of_another_package_may_be_a_single_file_without_splits(tmp_path: Path) -> None:
    root = tmp_path / "boxes.csv"
    root.write_text("a.jpg,dog,1,2,3,4\nb.jpg,cat,5,6,7,8\n")
    assert available_splits(root, [*FORMATS, Table()]) == ["all"]
    dataset = read(root, "all", formats=[*FORMATS, Table()], classes=["dog"])
    assert [example.boxes.tolist() for example in dataset.examples] == [[[1, 2, 3, 4]], []]
    with pytest.raises(FileNotFoundError, match=r"no split 'train'\. There are all: set"):
        read(root, "train", formats=[Table()])
    root.write_text("a.jpg,dog,1,2,300,4\n")
    with pytest.raises(ValueError, match=r"line 1: box .* lies outside the 80x60 image"):
        read(root, "all", formats=[Table()])


def test_no_other_formats_than_the_given_ones_are_tried(
    tmp_path: Path, coco: Content, write_coco: Write, write_voc: Write
) -> None:
    write_coco(tmp_path, coco)
    write_voc(tmp_path, {"one": "", "two": ""})
    assert len(read(tmp_path)) == 3  # COCO comes first
    assert len(read(tmp_path, formats=[Coco()])) == 3
    assert len(read(tmp_path, formats=[Voc()])) == 2
    with pytest.raises(FileNotFoundError, match="What is read is Table; datasets/README"):
        read(tmp_path, formats=[Table()])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"boxes\.csv: no such file; set data\.root"):
        read(tmp_path / "boxes.csv")


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_finds_nothing_where_there_is_nothing(tmp_path: Path, format: Any) -> None:
    (tmp_path / "file.txt").write_text("")
    for root in (tmp_path, tmp_path / "file.txt", tmp_path / "absent"):
        assert format.splits(root) == []
        assert not format.has_split(root, "train")
