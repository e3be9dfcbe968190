"""Which split is meant where it has another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.data.formats.splits import by_folder, is_of, is_split, stand_in


@pytest.mark.parametrize(
    ("splits", "train", "val"),
    [
        (["train", "val"], "train", "val"),
        (["train", "valid", "test"], "train", "valid"),
        (["Training", "dev"], "Training", "dev"),
        (["train2017", "val2017"], "train2017", "val2017"),
        (["TRAIN", "VALID"], "TRAIN", "VALID"),
        (["train2014", "train2017", "val2017"], None, "val2017"),  # which one is a choice
        (["train", "train2017"], "train", None),
        (["trainval", "test"], "trainval", None),
        (["trainval"], "trainval", None),
        (["trainval", "val"], None, "val"),  # the one has the other
        (["rest", "test"], "rest", None),
        (["rest", "val"], None, "val"),
        (["left", "right"], None, None),
        ([], None, None),
    ],
)
def test_the_split_that_is_meant(splits: list[str], train: str | None, val: str | None) -> None:
    assert stand_in("train", splits) == train
    assert stand_in("val", splits) == val


def test_cvats_folders_of_subsets_are_splits() -> None:
    assert is_of("obj_train_data", "train")
    assert is_of("obj_Validation_data", "val")
    assert not is_split("obj_data")
    assert stand_in("train", ["obj_train_data", "obj_valid_data"]) == "obj_train_data"
    files = [Path("x/obj_train_data/a.jpg"), Path("x/obj_valid_data/b.jpg")]
    assert list(by_folder(Path("x/y.txt"), files)) == ["obj_train_data", "obj_valid_data"]
    assert by_folder(Path("x/y.txt"), files[:1]) == {"all": files[:1]}  # of a task without subsets
