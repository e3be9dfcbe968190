"""YOLO's files: where they may lie, what a line means, what says that there is nothing to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import available_splits, open_every_split

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


@pytest.mark.parametrize("path", ["../ds", "../cfg/../ds", "{root}/ds"])
@pytest.mark.parametrize("file", ["", "cfg/data.yaml"])
def test_labels_lie_where_the_path_of_a_yaml_leads(
    write_files: Write, read_all: Read, objects: Any, tmp_path: Path, path: str, file: str
) -> None:
    path = path.format(root=tmp_path)
    root = write_files(
        {
            "cfg/data.yaml": f"path: {path}\ntrain: images/train\nval: images/val\n"
            "names: [mug, jug]\n",
            "ds/images/train/a.jpg": None,
            "ds/labels/train/a.txt": LINE,
            "ds/images/val/b.jpg": None,
            "ds/labels/val/b.txt": "",
        }
    )
    splits = read_all(root / file)
    assert objects(splits["train"]) == {"a.jpg": [BOX]}
    assert objects(splits["val"]) == {"b.jpg": []}


def test_labels_lie_beside_pictures_that_are_allowed_elsewhere(
    write_files: Write, objects: Any
) -> None:
    root = write_files(
        {
            "mine/data.yaml": "train: ../images/train\nnames: [mug, jug]",
            "images/train/a.jpg": None,
            "labels/train/a.txt": LINE,
        }
    )
    splits = open_every_split(root=root / "mine", invalid_boxes="clip", allow_outside=True)
    assert objects(splits["train"]) == {"a.jpg": [BOX]}


def test_names_are_as_they_are_written(write_files: Write, read_all: Read) -> None:
    """To YAML yes and off are truth values, 1.10 is 1.1 and ~ is nothing."""
    files = {"images/a.jpg": None, "labels/a.txt": LINE}
    root = write_files(files | {"data.yaml": "train: images\nnames: [yes, off, 1.10, ~]\n"})
    assert read_all(root)["train"].class_names == ("yes", "off", "1.10", "~")
    root = write_files({"data.yaml": "train: images\nnames:\n  0: no\n  1: on\n"})
    assert read_all(root)["train"].class_names == ("no", "on")


def test_two_splits_that_are_not_there_are_not_both_what_is(
    write_files: Write, read_all: Read
) -> None:
    files = {"images/a.jpg": None, "labels/a.txt": LINE}
    yaml = "train: ../train/images\nval: {}\nnames: [mug, jug]\n"
    root = write_files(files | {"data.yaml": yaml.format("../valid/images")})
    splits = read_all(root)
    assert list(splits) == ["train"]
    assert "val: ../valid/images" in str(splits["train"].oddities)
    same = write_files({"data.yaml": yaml.format("../train/images")})
    assert sorted(read_all(same)) == ["train", "val"]  # as it says


@pytest.mark.parametrize(("train", "val"), [("../train/images", "images"), ("images", "./images")])
def test_two_splits_of_what_is_there_stay_two(
    write_files: Write, read_all: Read, train: str, val: str
) -> None:
    files = {"images/a.jpg": None, "labels/a.txt": LINE}
    yaml = f"train: {train}\nval: {val}\nnames: [mug, jug]\n"
    assert sorted(read_all(write_files(files | {"data.yaml": yaml}))) == ["train", "val"]


def test_a_link_before_the_dots_leads_where_it_leads(
    write_files: Write, objects: Any, tmp_path: Path
) -> None:
    root = write_files(
        {
            "set/data.yaml": "train: current/../images\nnames: [mug, jug]\n",
            "set/versions/2/x.txt": "",
            "set/versions/images/a.jpg": None,
            "set/versions/labels/a.txt": LINE,
            "set/labels/a.txt": "",
        }
    )
    (tmp_path / "set" / "current").symlink_to(tmp_path / "set" / "versions" / "2")
    splits = open_every_split(root=root / "set", invalid_boxes="clip", allow_outside=True)
    assert objects(splits["train"]) == {"a.jpg": [BOX]}


def test_names_that_another_table_lends_are_read(write_files: Write, read_all: Read) -> None:
    yaml = "base: &b {names: [mug, no]}\n<<: *b\ntrain: images\n"
    files = {"images/a.jpg": None, "labels/a.txt": LINE}
    assert read_all(write_files(files | {"data.yaml": yaml}))["train"].class_names == ("mug", "no")


def test_an_outline_may_lie_over_the_border(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    line = "0 -0.05 0.25 0.25 0.25 0.25 0.5 -0.05 0.5\n"
    root = write_files({"images/a.jpg": None, "labels/a.txt": line, "classes.txt": "mug"})
    assert objects(read_all(root)["all"])["a.jpg"] == [("mug", [0, 12, 16, 24])]


def test_landmarks_behind_a_box_are_no_corners(write_files: Write, read_all: Read) -> None:
    line = "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.45 -1 -1\n"
    root = write_files({"images/a.jpg": None, "labels/a.txt": line, "classes.txt": "face"})
    with pytest.raises(ValueError, match=r"a\.txt, line 1: .*data\.yaml needs kpt_shape"):
        read_all(root)


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


POSE = "train: images\nkpt_shape: [3, 2]\nnames: [mug, jug]\n"
KEYPOINTS = " 0.1 0.1 0.9 0.1 0.9 0.9"


def test_the_box_of_a_pose_is_read_without_its_keypoints(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    files = {"data.yaml": POSE, "images/a.jpg": None}
    root = write_files(files | {"labels/a.txt": LINE.strip() + KEYPOINTS})
    dataset = read_all(root)["train"]
    assert objects(dataset) == {"a.jpg": [BOX]}
    assert "keypoints, which are not used" in str(dataset.oddities)
    # The third number of a keypoint is its visibility, up to 2.
    visible = LINE.strip() + " 0.1 0.1 2" * 2
    write_files({"data.yaml": POSE.replace("3, 2", "2, 3"), "labels/a.txt": visible})
    assert objects(read_all(root)["train"]) == {"a.jpg": [BOX]}
    write_files({"labels/a.txt": LINE.strip() + KEYPOINTS + " 0.5 0.5"})
    with pytest.raises(ValueError, match=r"a\.txt, line 1: .* 6 of its keypoints, as kpt_shape"):
        read_all(root)
    write_files({"data.yaml": POSE.replace("[3, 2]", "3")})
    with pytest.raises(ValueError, match=r"data\.yaml: kpt_shape must be two numbers.*got 3"):
        read_all(root)


@pytest.mark.parametrize(
    ("names", "label", "name"),
    [("{1: cat, 2: dog}", 1, "cat"), ("{1: cat, 2: dog}", 2, "dog"), ("{0: a, 2: c}", 2, "c")],
)
def test_names_are_those_of_their_numbers(
    write_files: Write, read_all: Read, objects: Any, names: str, label: int, name: str
) -> None:
    files = {"data.yaml": f"train: images\nnames: {names}\n", "images/a.jpg": None}
    root = write_files(files | {"labels/a.txt": f"{label}{LINE[1:]}"})
    assert objects(read_all(root)["train"]) == {"a.jpg": [(name, BOX[1])]}


@pytest.mark.parametrize(
    ("names", "label", "said"),
    [
        ("{1: cat, 2: dog}", 0, "class 0, but there are 2 class names, from 1 to 2;"),
        ("{0: a, 2: c}", 1, "class 1, but there are 2 class names, from 0 to 2 without 1;"),
    ],
)
def test_a_number_without_a_name_is_refused(
    write_files: Write, read_all: Read, names: str, label: int, said: str
) -> None:
    files = {"data.yaml": f"train: images\nnames: {names}\n", "images/a.jpg": None}
    root = write_files(files | {"labels/a.txt": f"{label}{LINE[1:]}"})
    with pytest.raises(ValueError, match=said):
        read_all(root)


DEAD = "path: ../datasets/coco128\ntrain: images/train2017\nval: images/val2017\nnames: [a, b]\n"


def test_a_yaml_of_another_data_set_is_passed_over(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    files = {"images/a.jpg": None, "labels/a.txt": LINE, "coco128.yaml": DEAD}
    root = write_files(files | {"my.yaml": "train: images\nnames: [mug, jug]\n"})
    assert objects(read_all(root)["train"]) == {"a.jpg": [BOX]}
    # One that has pictures for some splits is not better than one that has all.
    write_files({"a.yaml": "train: none\nval: images\nnames: [a, b]\n"})
    assert list(read_all(root)) == ["train"]


def test_a_yaml_that_leads_out_is_refused_where_no_other_fits(
    write_files: Write, read_all: Read
) -> None:
    files = {"elsewhere/b.jpg": None, "in/images/a.jpg": None, "in/labels/a.txt": LINE}
    root = write_files(files | {"in/a.yaml": "train: ../elsewhere\nnames: [mug, jug]\n"}) / "in"
    with pytest.raises(
        ValueError, match=r"a\.yaml: '\.\./elsewhere' is .* outside of the data set"
    ):
        read_all(root)
    write_files({"in/b.yaml": "train: images\nnames: [mug, jug]\n"})
    assert list(read_all(root)) == ["train"]


def test_where_no_yaml_has_its_pictures_the_folders_count(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    yaml = "train: D:/x/train2\nval: D:/x/val2\nnames: [mug, jug]\n"
    files = {f"{kind}/train/a.{end}": LINE for kind, end in (("images", "jpg"), ("labels", "txt"))}
    files = {name: None if name.endswith("jpg") else text for name, text in files.items()}
    root = write_files(files | {"data.yaml": yaml})
    for place in (root, root / "data.yaml"):
        dataset = read_all(place)["train"]
        assert objects(dataset) == {"a.jpg": [BOX]}
        assert "data.yaml, train: D:/x/train2" in str(dataset.oddities[0])
    write_files({"coco128.yaml": DEAD})
    assert objects(read_all(root)["train"]) == {"a.jpg": [BOX]}
    (root / "data.yaml").rename(root / "mine.yaml")
    with pytest.raises(ValueError, match=r"coco128\.yaml: it has other class names than .*mine"):
        read_all(root)


def test_the_path_of_a_yaml_that_is_not_there_is_named(write_files: Write, read_all: Read) -> None:
    root = write_files({"data.yaml": "train: D:/x/train2\nnames: [a]\n", "images/a.jpg": None})
    with pytest.raises(FileNotFoundError, match=r"data\.yaml, train: D:/x/train2 is not there"):
        read_all(root)


def test_the_missing_pictures_of_a_list_are_counted(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    pictures = [f"images/{name}.jpg" for name in "abcd"]
    files = {"data.yaml": "train: train.txt\nnames: [mug, jug]\n"}
    files |= {"train.txt": "\n".join(pictures), "labels/a.txt": LINE, "labels/b.txt": LINE}
    root = write_files(files | {"images/a.jpg": None, "images/b.jpg": None})
    dataset = read_all(root)["train"]
    assert list(objects(dataset)) == ["a.jpg", "b.jpg"]
    assert "2 x picture of a list that is not there, left out" in str(dataset.oddities[0])
    write_files({"train.txt": "\n".join([*pictures, "images/e.jpg"])})
    with pytest.raises(FileNotFoundError, match=r"3 of 5 pictures .* is train\.txt: images/c\.jpg"):
        read_all(root)
    # Of a test set that was not downloaded there are none.
    yaml = "train: images\ntest: train.txt\nnames: [mug, jug]\n"
    write_files({"data.yaml": yaml, "train.txt": "images/y.jpg\nimages/z.jpg"})
    assert list(read_all(root)) == ["train"]
    assert "left out: train.txt: images/y.jpg" in str(read_all(root)["train"].oddities[0])
    write_files({"data.yaml": "train: train.txt\nnames: [mug, jug]\n"})
    write_files({"train.txt": "x/a.jpg\nimages/a.jpg"})
    with pytest.raises(ValueError, match=r"'images/a\.jpg' and 'x/a\.jpg' lead to one picture"):
        read_all(root)


@pytest.mark.parametrize("first", ["\n", "x 1 2 3 4\n", ""])
def test_a_first_label_file_without_a_box_hides_no_others(
    write_files: Write, read_all: Read, objects: Any, first: str
) -> None:
    files = {f"images/{name}.jpg": None for name in "ab"} | {"classes.txt": "mug\njug\n"}
    root = write_files(files | {"labels/a.txt": first, "labels/b.txt": LINE})
    if first.strip():
        with pytest.raises(ValueError, match=r"a\.txt, line 1"):
            read_all(root)
    else:
        assert objects(read_all(root)["all"]) == {"a.jpg": [], "b.jpg": [BOX]}


@pytest.mark.parametrize(
    ("picture", "label"),
    [("Images/A.jpg", "Labels/A.txt"), ("TRAIN/IMAGES/a.jpg", "TRAIN/LABELS/a.txt"),
     ("images/Train/a.jpg", "labels/train/a.txt")],
)  # fmt: skip
def test_folders_may_be_written_with_capitals(
    write_files: Write, read_all: Read, objects: Any, picture: str, label: str
) -> None:
    root = write_files({picture: None, label: LINE, "classes.txt": "mug\njug\n"})
    (dataset,) = read_all(root).values()
    assert objects(dataset) == {Path(picture).name: [BOX]}
    assert "without a picture" not in str(dataset.oddities)


OUTPUTS = ("results/train/a.jpg", "preview/b.jpg", "runs/detect/train/c.jpg", "mine/val/d.jpg")


def test_outputs_of_runs_are_no_splits(write_files: Write, read_all: Read, objects: Any) -> None:
    files = {"images/a.jpg": None, "labels/a.txt": LINE, "classes.txt": "mug\njug\n"}
    files |= dict.fromkeys(OUTPUTS) | {"mine/.detection-run.json": "{}"}
    # Ultralytics saves what it has detected as labels.
    files |= {"runs/detect/train/labels/c.txt": LINE, "mine/val/d.txt": LINE}
    root = write_files(files)
    (found,) = read_all(root).items()
    assert found[0] == "all"
    assert objects(found[1]) == {"a.jpg": [BOX]}
    odd = "\n".join(map(str, found[1].oddities))
    assert "1 x picture outside of the folders with labels, left out" in odd
    # preview/ is no split, so that its pictures may be some that nobody has labelled yet.
    assert "never annotated" in odd


def test_pictures_beside_the_splits_are_no_split(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    files: dict[str, Any] = dict.fromkeys([*OUTPUTS, "cover.jpg", "images/test/e.jpg"])
    files |= {f"images/{split}/{split}.jpg": None for split in ("train", "val")}
    files |= {f"labels/{split}/{split}.txt": LINE for split in ("train", "val")}
    splits = read_all(write_files(files | {"mine/.detection-run.json": "{}"}))
    assert {name: list(objects(dataset)) for name, dataset in splits.items()} == {
        "test": ["e.jpg"],
        "train": ["train.jpg"],
        "val": ["val.jpg"],
    }
    assert "3 x picture outside of the folders" in "".join(map(str, splits["train"].oddities))


DARKNET = {
    "data/obj/a.jpg": None,
    "data/obj/a.txt": LINE,
    "data/obj/b.jpg": None,
    "data/obj/b.txt": "",
    "data/obj/c.jpg": None,
    "data/obj/c.txt": LINE,
    "data/mine.names": "mug\njug\n",
    "data/train.txt": "data/obj/a.jpg\n",
    "data/valid.txt": "C:\\mine\\obj\\b.jpg\n",
}


@pytest.mark.parametrize(
    "lists",
    [
        {"data/obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n"},
        {"obj.data": "train=data/train.txt\nvalid=/x/data/valid.txt\nnames=data/mine.names\n"},
        {},
    ],
)
def test_the_lists_of_darknet_divide(
    write_files: Write, read_all: Read, objects: Any, lists: dict[str, str]
) -> None:
    root = write_files(DARKNET | lists)
    splits = read_all(root)
    assert objects(splits.pop("train")) == {"a.jpg": [BOX]}
    ((_, validation),) = splits.items()
    assert objects(validation) == {"b.jpg": []}
    said = [str(oddity) for oddity in validation.oddities]
    assert any("splits by lists of pictures: data/train.txt" in one for one in said)
    assert any(one.endswith(f"no list names, left out: {root}/data/obj/c.jpg") for one in said)


@pytest.mark.parametrize(
    "more",
    [
        {"data/valid.txt": "gone.jpg\n"},  # lists of another time
        {"data/train.txt": "a.jpg\n/x/a.png\n"},  # one picture by two names
        {"data/trainval.txt": "data/obj/a.jpg\n"},
        {"data/val.txt": "data/obj/a.jpg\n"},  # a second one for validation
        {"fold/train.txt": "a.jpg\n", "fold/val.txt": "c.jpg\n"},  # of another folder
    ],
)
def test_lists_that_do_not_fit_are_not_used_and_said(
    write_files: Write, read_all: Read, more: dict[str, str]
) -> None:
    dataset = read_all(write_files(DARKNET | more))["all"]
    assert len(dataset) == 3
    assert "lists of pictures that are not used" in str(dataset.oddities)


def test_folders_of_splits_come_before_lists(write_files: Write, read_all: Read) -> None:
    folders = {"train": "a", "val": "b", "test": "c"}
    files = {
        f"{s}/{n}.{e}": x for s, n in folders.items() for e, x in (("jpg", None), ("txt", LINE))
    }
    lists = {"train.txt": "train/a.jpg\n", "val.txt": "val/b.jpg\n", "classes.txt": "mug\njug\n"}
    assert sorted(read_all(write_files(files | lists))) == ["test", "train", "val"]


def test_one_list_or_labels_of_a_picture_called_train_divide_nothing(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    root = write_files(DARKNET | {"data/valid.txt": LINE, "data/valid.jpg": None})
    dataset = read_all(root)["all"]
    assert objects(dataset)["valid.jpg"] == [BOX]
    assert "lists" not in str(dataset.oddities)


def test_a_yaml_that_leads_nowhere_still_names_the_classes(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    yaml = {"data.yaml": "train: D:/x/tr\nval: D:/x/va\nnames: [cup, can]\n"}
    splits = read_all(write_files(DARKNET | yaml))
    assert objects(splits["train"]) == {"a.jpg": [("can", BOX[1])]}
