"""The pictures of a training: the splits that are given, or one that is made and kept."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import DictConfig

from detection.cli.compose import compose_config
from detection.cli.data_sets import open_split
from detection.cli.training_data import open_training_data, to_divide, warn_of_overlap
from detection.data import cut_files


@pytest.fixture
def unsplit(tmp_path: Path) -> Path:
    """Twenty pictures, one COCO file, no splits."""
    root = tmp_path / "mine"
    root.mkdir()
    images, annotations = [], []
    for i in range(1, 21):
        random = np.random.default_rng(i)
        pixels = cv2.resize(random.integers(0, 256, (6, 8, 3)).astype(np.uint8), (64, 48))
        cv2.imwrite(str(root / f"{chr(96 + i)}.jpg"), pixels)
        images.append({"id": i, "file_name": f"{chr(96 + i)}.jpg", "width": 64, "height": 48})
        box = {"bbox": [4, 4, 20, 20], "area": 400, "iscrowd": 0}
        annotations.append({"id": i, "image_id": i, "category_id": 1 + i % 2, **box})
    categories = [{"id": 1, "name": "mug"}, {"id": 2, "name": "cup"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "labels.json").write_text(json.dumps(content))
    return root


def config_of(root: Path, out: Path, *more: str) -> DictConfig:
    return compose_config("train", [f"data.root={root}", f"output_dir={out}", *more])


def test_a_split_is_made_said_and_used_again(
    unsplit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    config = config_of(unsplit, out)
    with caplog.at_level(logging.INFO):
        data = open_training_data(config)

    assert (len(data.train), len(data.val)) == (16, 4)
    assert "no validation split, so one is made of all: 16 pictures train, 4" in caplog.text
    assert config.data.split_file == str(out / "split.json")

    out.mkdir()
    (out / "split.json").write_text(data.files["split.json"])
    again = open_training_data(config_of(unsplit, out, "resume=true", "seed=5"))
    assert names(again.val) == names(data.val)
    # What a run's config.yaml says leads to it from any command.
    assert names(open_split(config.data, "val")) == names(data.val)
    assert names(open_split(config.data, "train")) == names(data.train)
    assert open_training_data(config).files == data.files


def test_several_training_splits_without_one_for_validation_are_divided_together(
    unsplit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((unsplit / "labels.json").read_text())
    root = tmp_path / "both"
    for name, first in (("train", 0), ("extra", 10)):
        images = content["images"][first : first + 10]
        ids = {image["id"] for image in images}
        part = [a for a in content["annotations"] if a["image_id"] in ids]
        (root / name).mkdir(parents=True)
        for image in images:
            shutil.copy(unsplit / image["file_name"], root / name)
        file = root / "annotations" / f"instances_{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**content, "images": images, "annotations": part}))
    both = "data.train_split=[train,extra]"
    config = config_of(root, tmp_path / "out", both)
    with caplog.at_level(logging.INFO):
        data = open_training_data(config)
    assert (len(data.train), len(data.val)) == (16, 4)
    assert len(names(data.train) | names(data.val)) == 20
    assert "one is made of train and extra: 16 pictures train" in caplog.text
    (tmp_path / "out").mkdir()
    (tmp_path / "out/split.json").write_text(data.files["split.json"])
    again = open_training_data(config_of(root, tmp_path / "out", both, "resume=true"))
    assert names(again.val) == names(data.val)
    with pytest.raises((OSError, ValueError), match="other"):  # which is not there
        open_training_data(config_of(root, tmp_path / "x", "data.train_split=[train,other]"))


def names(dataset: object) -> set[str]:
    return {example.path.name for example in dataset.examples}  # type: ignore[attr-defined]


def test_splits_that_are_there_are_used(example_files: Path, tmp_path: Path) -> None:
    config = config_of(example_files / "data", tmp_path)
    assert to_divide(config.data) is None
    assert open_training_data(config).files == {}
    assert config.data.split_file is None


def test_a_year_or_a_capital_is_a_validation_split(
    unsplit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(unsplit, tmp_path)
    for splits, divided in [
        (["train", "val2017"], None),
        (["train", "Valid"], None),
        (["train", "test"], "train"),
        (["all"], "all"),
        (["test"], None),
        (["train2017", "val2017"], None),
        (["train2017", "test2017"], "train2017"),
        (["trainval", "test"], "trainval"),
        (["rest", "test"], "rest"),
        (["left", "right"], None),
    ]:
        monkeypatch.setattr(
            "detection.cli.training_data.available_splits", lambda *_, found=splits, **__: found
        )
        assert to_divide(config.data) == divided, splits


def test_pictures_on_both_sides_are_warned_of(
    example_files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = ["data.val_split=train"]
    open_training_data(config_of(example_files / "data", tmp_path, *same))
    assert "pictures for validation are learnt as well: AP says how well they" in caplog.text

    caplog.clear()
    data = open_training_data(config_of(example_files / "data", tmp_path))
    assert "learnt as well" not in caplog.text
    copy = tmp_path / "copy.jpg"
    shutil.copy(data.train.examples[0].path, copy)
    one = replace(data.val.examples[0], path=copy)
    warn_of_overlap(data.train, replace(data.val, examples=[one, data.val.examples[1]]))
    assert f"1 of 2 pictures for validation are learnt as well, the first is {copy}" in caplog.text


@pytest.fixture
def two_splits(tmp_path: Path) -> Callable[..., Path]:
    """A table of boxes for each split: no format lists its classes less."""

    def write(train: list[str], valid: list[str]) -> Path:
        root = tmp_path / "csv"
        root.mkdir()
        for split, classes in (("train", train), ("valid", valid)):
            lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
            for number, name in enumerate(classes):
                picture = f"{split}{number}.png"
                pixels = np.full((48, 64, 3), 7 * number + len(split), np.uint8)
                cv2.imwrite(str(root / picture), pixels)
                lines.append(f"{picture},64,48,{name},4,4,24,24")
            (root / f"{split}_labels.csv").write_text("\n".join(lines))
        return root

    return write


def test_a_class_that_only_pictures_for_validation_have_is_said_and_counts(
    two_splits: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = two_splits(["mug", "cup"], ["mug", "bowl", "ant"])
    data = open_training_data(config_of(root, tmp_path / "out"))
    assert data.train.class_names == data.val.class_names == ("cup", "mug", "ant", "bowl")
    kinds = [data.val.class_names[e.labels[0] - 1] for e in data.val.examples]
    assert kinds == ["mug", "bowl", "ant"]
    assert "is of ant, bowl, which" in caplog.text
    assert "'data.classes=[cup,mug]' leaves it out" in caplog.text

    caplog.clear()
    config = config_of(root, tmp_path / "out", "data.classes=[cup,mug]")
    chosen = open_training_data(config)  # "cup" is in no picture for validation
    assert chosen.val.class_names == chosen.train.class_names == ("cup", "mug")
    assert [len(e.labels) for e in chosen.val.examples] == [1, 0, 0]
    assert "cannot be learnt" not in caplog.text
    with pytest.raises(ValueError, match=r"no class 'jug' in this data set; it has cup, mug"):
        open_training_data(config_of(root, tmp_path / "out", "data.classes=[jug]"))


@pytest.mark.parametrize(("valid", "message"), [("Mug", "'Mug' is 'mug'"), ("bowl", "in common")])
def test_names_that_are_typed_differently_or_share_nothing_are_refused(
    two_splits: Callable[..., Path], tmp_path: Path, valid: str, message: str
) -> None:
    root = two_splits(["mug", "cup"], [valid, *(["cup"] if valid == "Mug" else [])])
    with pytest.raises(ValueError, match=message):
        open_training_data(config_of(root, tmp_path / "out"))


def test_a_year_is_no_hindrance_and_trainval_is_divided(
    two_splits: Callable[..., Path], unsplit: Path, tmp_path: Path
) -> None:
    root = two_splits(["mug", "cup"], ["mug"])
    for split, year in (("train", "train2017"), ("valid", "VAL2017")):
        (root / f"{split}_labels.csv").rename(root / f"{year}.csv")
    data = open_training_data(config_of(root, tmp_path / "out"))
    assert (len(data.train), len(data.val)) == (2, 1)

    (unsplit / "labels.json").rename(unsplit / "trainval.json")
    config = config_of(unsplit, tmp_path / "other")
    divided = open_training_data(config)
    assert (len(divided.train), len(divided.val)) == (16, 4)


def test_a_picture_that_is_cut_is_named_before_anything_is_trained(
    unsplit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = unsplit / "c.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole + b"a phone's video")  # behind its end: no fault
    open_training_data(config_of(unsplit, tmp_path / "out"))
    picture.write_bytes(whole[:-200])
    with pytest.raises(
        ValueError, match=r"1 pictures cannot be read, .*\n.*c\.jpg: trunc"
    ) as error:
        open_training_data(config_of(unsplit, tmp_path / "out"))
    assert f"detection check {unsplit} fix=true -o cleaned" in str(error.value)
    monkeypatch.setattr(cut_files, "_READ_WHOLLY", 0)  # of many pictures the ends are looked at
    with pytest.raises(ValueError, match="1 pictures cannot be read"):
        open_training_data(config_of(unsplit, tmp_path / "out"))


def test_so_is_one_that_is_damaged_inside_where_all_can_be_read(
    unsplit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    picture = unsplit / "c.jpg"
    whole = picture.read_bytes()
    middle = (whole.rindex(b"\xff\xda") + len(whole)) // 2
    picture.write_bytes(whole[:middle] + b"\xff\xd3" + whole[middle:])
    with pytest.raises(ValueError, match=r"1 pictures cannot be read, .*\n.*c\.jpg: damaged JPEG"):
        open_training_data(config_of(unsplit, tmp_path / "out"))
    monkeypatch.setattr(cut_files, "_READ_WHOLLY", 0)
    open_training_data(config_of(unsplit, tmp_path / "out"))


def test_pictures_beside_the_splits_are_spoken_of(
    unsplit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "splits"
    for split, letters in (("train", "abcdef"), ("val", "gh"), ("more", "ij")):
        (root / split).mkdir(parents=True)
        for letter in letters:
            shutil.copy(unsplit / f"{letter}.jpg", root / split)
            (root / split / f"{letter}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (root / "classes.txt").write_text("mug\n")
    open_training_data(config_of(root, tmp_path / "out"))
    assert (
        "are in none of its splits, but beside them: they neither train nor validate" in caplog.text
    )
    assert "data.train_split=[train,rest]" in caplog.text
    caplog.clear()
    both = open_training_data(config_of(root, tmp_path / "out", "data.train_split=[train,rest]"))
    assert len(both.train) == 8
    assert "in none of them" not in caplog.text


def test_a_picture_of_two_entries_is_spoken_of(
    unsplit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((unsplit / "labels.json").read_text())
    content["images"].append(content["images"][0] | {"id": 99})
    other = {"id": 99, "image_id": 99, "category_id": 1, "bbox": [30, 20, 9, 9], "area": 81}
    content["annotations"].append(other | {"iscrowd": 0})
    (unsplit / "labels.json").write_text(json.dumps(content))
    both = ("data.train_split=all", "data.val_split=all")
    open_training_data(config_of(unsplit, tmp_path / "out", *both))
    assert "1 pictures have several entries" in caplog.text
    assert "a.jpg" in caplog.text
    caplog.clear()
    content["annotations"][-1] |= {"bbox": [4, 4, 20, 20], "category_id": 2}  # as the other has it
    (unsplit / "labels.json").write_text(json.dumps(content))
    open_training_data(config_of(unsplit, tmp_path / "out", *both))
    assert "several entries" not in caplog.text
