"""CSV files of boxes: the columns are recognised by their names, and what has no line is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.csv_columns import recognise
from detection.data.formats.open import open_dataset

Write = Callable[..., Path]
Read = Callable[..., dict[str, DetectionDataset]]
BOX = [10, 10, 34, 30]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,mug,10,10,34,30\n", "mug"),
        ("image_id,xmin,ymin,xmax,ymax\na.jpg,10.0,10.0,34.0,30.0\n", "object"),
        ("Image Path;Label;X1;Y1;X2;Y2\r\nimgs/a.jpg;mug;10;10;34;30\r\n", "mug"),
        ("image\tx\ty\twidth\theight\tcategory\na.jpg\t10\t10\t24\t20\tmug\n", "mug"),
        ("image_id,width,height,bbox\na,64,48,\"[10, 10, 24, 20]\"\n", "object"),
        # OpenImages': parts of the size, in the order XMin, XMax, YMin, YMax.
        (
            "ImageID,LabelName,XMin,XMax,YMin,YMax\na,mug,0.15625,0.53125,0.2083333,0.625\n",
            "mug",
        ),
        ("filename,width,height,x,y,w,h,label\na.jpg,64,48,10,10,24,20,mug\n", "mug"),
        ("filename,x_center,y_center,width,height,label\na.jpg,22,20,24,20,mug\n", "mug"),
        ("image;cx;cy;w;h;width;height\na;0.34375;0.416667;0.375;0.416667;64;48\n", "object"),
        ("imgs/a.jpg,10,10,34,30,mug\nimgs/b.jpg,,,,,\n", "mug"),
        (",Filename,img_width,img_height,obj_class,obj_x,obj_y,obj_width,obj_height\n"
         '0,a.jpg,64,48,"mug\n",10,10,24,20\n', "mug"),
    ],
)  # fmt: skip
def test_columns_are_recognised(
    write_files: Write, read_all: Read, objects: Any, lines: str, name: str
) -> None:
    root = write_files({"boxes.csv": lines, "imgs/a.jpg": None})
    root = write_files({"imgs/b.jpg": None}) if "b.jpg" in lines else root
    (dataset,) = read_all(root).values()
    ((kind, box),) = objects(dataset)["a.jpg"]
    assert kind == name
    assert box == pytest.approx(BOX, abs=1e-3)
    assert "columns were taken for" in str(dataset.oddities[0])


def test_what_has_no_box_is_no_table_of_boxes() -> None:
    for head in (["image", "bounds"], ["filename", "class"], ["xmin", "ymin", "xmax", "ymax"]):
        assert recognise(head) is None
    found = recognise(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
    assert found is not None
    assert (found.width, found.height, found.label, found.sides) == (1, 2, 3, (4, 5, 6, 7))


def test_pictures_without_a_line_are_background_only_where_there_are_no_classes(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    pictures = {"in/a.jpg": None, "in/b.jpg": None, "out/c.jpg": None}
    without = "image_id,xmin,ymin,xmax,ymax\na.jpg,10,10,34,30\n"
    root = write_files(pictures | {"boxes.csv": without})
    (dataset,) = read_all(root).values()
    assert objects(dataset) == {"a.jpg": [("object", BOX)], "b.jpg": []}
    assert "c.jpg" in str(dataset.oddities)
    write_files({"boxes.csv": "filename,class,xmin,ymin,xmax,ymax\na.jpg,mug,10,10,34,30\n"})
    (dataset,) = read_all(root).values()
    assert objects(dataset) == {"a.jpg": [("mug", BOX)]}
    assert "never annotated" in str(dataset.oddities)


def test_files_of_several_splits(write_files: Write, read_all: Read) -> None:
    line = "filename,class,xmin,ymin,xmax,ymax\n{}.jpg,mug,10,10,34,30\n"
    files = {f"{split}_labels.csv": line.format(split) for split in ("train", "test")}
    pictures = dict.fromkeys(("images/train/train.jpg", "images/test/test.jpg"))
    splits = read_all(write_files(files | pictures))
    assert {name: len(dataset) for name, dataset in splits.items()} == {"test": 1, "train": 1}


def test_a_table_with_tabs_may_be_called_so(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    lines = "image\tlabel\tx1\ty1\tx2\ty2\na.jpg\tmug\t10\t10\t34\t30\n"
    (dataset,) = read_all(write_files({"boxes.tsv": lines, "a.jpg": None})).values()
    assert objects(dataset) == {"a.jpg": [("mug", BOX)]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.jpg;10;10", "a line with the names of the columns is missing"),
        ("photo,xmin,ymin,xmax,ymax", "no column is called as pictures are (filename, image"),
        ("image;from;to", "no four columns are called as boxes are (xmin,ymin,xmax,ymax, or x,y"),
    ],
)
def test_what_a_table_lacks_is_said_truly(
    write_files: Write, read_all: Read, line: str, said: str
) -> None:
    with pytest.raises(FileNotFoundError) as error:
        read_all(write_files({"boxes.csv": f"{line}\n", "a.jpg": None}))
    assert f"boxes.csv begins with '{line}': {said}" in str(error.value)


def test_a_second_download_of_a_table_doubles_no_box(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    lines = "filename,class,xmin,ymin,xmax,ymax\na.jpg,mug,10,10,34,30\n"
    more = lines + "a.jpg,mug,1,1,5,5\n"
    root = write_files({"train.csv": lines, "train (1).csv": more, "a.jpg": None})
    dataset = read_all(root)["train"]
    assert sorted(objects(dataset)["a.jpg"]) == [("mug", [1, 1, 5, 5]), ("mug", BOX)]
    assert "1 x line that another file has, too, left out: train.csv, line 2" in [
        str(oddity) for oddity in dataset.oddities
    ]


def test_each_table_names_the_pictures_beside_it(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    line = "filename,class,xmin,ymin,xmax,ymax\n001.jpg,{},10,10,34,30\n"
    files = {f"{folder}/labels.csv": line.format(folder) for folder in "ab"}
    root = write_files(files | {"a/001.jpg": None, "b/001.jpg": None})
    (dataset,) = read_all(root).values()
    found = {e.path: dataset.class_names[e.labels[0] - 1] for e in dataset.examples}
    assert found == {root / "a" / "001.jpg": "a", root / "b" / "001.jpg": "b"}


def test_all_faults_of_a_table_are_said(write_files: Write, read_all: Read) -> None:
    lines = "filename,class,xmin,ymin,xmax,ymax\na.jpg,mug,1,1,x,9\na.jpg,,1,1,5,9\na.jpg,mug\n"
    with pytest.raises(ValueError, match="3 faults") as error:
        read_all(write_files({"boxes.csv": lines, "a.jpg": None}))
    for said in ("line 2", "line 3: the object has no class", "line 4: fewer columns"):
        assert said in str(error.value)


@pytest.mark.parametrize("over", ["1", "1.001"])
def test_parts_of_the_size_may_be_a_hair_over_it(
    write_files: Write, read_all: Read, objects: Any, over: str
) -> None:
    lines = f"image,x1,y1,x2,y2\na.jpg,0.5,0.5,{over},0.9\n"
    found = objects(read_all(write_files({"boxes.csv": lines, "a.jpg": None}))["all"])
    assert found["a.jpg"][0][1] == pytest.approx([32, 24, 64, 43.2])


def test_groups_of_openimages_are_crowds(write_files: Write, read_all: Read) -> None:
    head = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf,Difficult\n"
    lines = "a,mug,0.1,0.5,0.1,0.5,1,0,0\na,mug,0.2,0.9,0.2,0.9,0,1,True\n"
    (dataset,) = read_all(write_files({"boxes.csv": head + lines, "a.jpg": None})).values()
    (example,) = dataset.examples
    assert example.crowd.tolist() == [False, True]
    assert example.difficult.tolist() == [False, True]
    assert "crowd=IsGroupOf, difficult=Difficult" in str(dataset.oddities[0])


SPLIT = "filename,class,xmin,ymin,xmax,ymax,{}\n"


@pytest.mark.parametrize("table", ["boxes.csv", "train_solution.csv"])
@pytest.mark.parametrize("column", ["split", "Set", "Usage"])
def test_a_column_may_say_the_split(
    write_files: Write, read_all: Read, objects: Any, column: str, table: str
) -> None:
    words = {"a": "TRAIN", "b": "valid", "c": "", "d": "train"}
    lines = "".join(f"{name}.jpg,mug,10,10,34,30,{word}\n" for name, word in words.items())
    pictures = {f"imgs/{name}.jpg": None for name in "abcde"}
    root = write_files({table: SPLIT.format(column) + lines} | pictures)
    splits = read_all(root)
    found = {name: sorted(objects(dataset)) for name, dataset in splits.items()}
    assert found == {"train": ["a.jpg", "d.jpg"], "valid": ["b.jpg"], "rest": ["c.jpg"]}
    said = [str(oddity) for oddity in splits["train"].oddities]
    assert f"split={column}" in said[0]
    # e.jpg; the others' pictures are theirs.
    assert [text for text in said if "never annotated" in text] == [
        "1 x picture that was never annotated, left out (it is not taken for background): "
        f"{root}/imgs/e.jpg"
    ]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (SPLIT.format("set"), ("blue", "red")),
        (SPLIT.format("phase"), ("larva", "dev")),
        (SPLIT.format("split"), ("", "")),
    ],
)
def test_a_column_of_other_words_divides_nothing(
    write_files: Write, read_all: Read, head: str, words: tuple[str, str]
) -> None:
    lines = [f"{n}.jpg,mug,10,10,34,30,{word}\n" for n, word in zip("ab", words, strict=True)]
    root = write_files({"boxes.csv": head + "".join(lines), "a.jpg": None, "b.jpg": None})
    (dataset,) = read_all(root).values()
    assert len(dataset) == 2
    assert "split=" not in str(dataset.oddities)


def test_the_first_column_that_can_say_the_split_does(write_files: Write, read_all: Read) -> None:
    head = "filename,class,xmin,ymin,xmax,ymax,set,usage\n"
    lines = "a.jpg,mug,10,10,34,30,red,train\nb.jpg,mug,10,10,34,30,blue,test\n"
    splits = read_all(write_files({"boxes.csv": head + lines, "a.jpg": None, "b.jpg": None}))
    assert {name: len(dataset) for name, dataset in splits.items()} == {"test": 1, "train": 1}


def test_tables_called_as_splits_come_before_a_column(write_files: Write, read_all: Read) -> None:
    line = "a.jpg,mug,10,10,34,30"
    tables = {
        "all.csv": SPLIT.format("split") + f"{line},train\n",
        "train.csv": f"filename,class,xmin,ymin,xmax,ymax\n{line}\n",
    }
    splits = read_all(write_files(tables | {"a.jpg": None}))
    assert {name: sum(len(e.boxes) for e in d.examples) for name, d in splits.items()} == {
        "all": 1,
        "train": 1,
    }
    assert "column of splits, not used" in str(splits["all"].oddities)


def test_parts_of_the_size_are_those_of_the_whole_table(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    lines = "a.jpg,mug,.5,.5,.9,.9,train\nb.jpg,mug,0,0,1,1,val\n"
    root = write_files({"boxes.csv": SPLIT.format("split") + lines, "a.jpg": None, "b.jpg": None})
    assert objects(read_all(root)["val"]) == {"b.jpg": [("mug", [0, 0, 64, 48])]}


def test_a_picture_in_two_splits_of_a_table_is_refused(write_files: Write, read_all: Read) -> None:
    lines = "a.jpg,mug,10,10,34,30,train\na.jpg,cup,1,1,5,5,val\n"
    root = write_files({"boxes.csv": SPLIT.format("split") + lines, "a.jpg": None})
    with pytest.raises(
        ValueError, match=r"boxes\.csv: picture a\.jpg has lines of train and of val"
    ):
        read_all(root)


@pytest.mark.parametrize("folder", ["", "../"])
def test_pictures_of_another_split_are_no_background(
    write_files: Write, read_all: Read, objects: Any, folder: str
) -> None:
    at = "tables/" if folder else ""
    tables = {
        f"{at}{split}.csv": f"image_id,xmin,ymin,xmax,ymax\n{folder}in/{split}.jpg,10,10,34,30\n"
        for split in ("train", "val")
    }
    root = write_files(tables | dict.fromkeys(("in/train.jpg", "in/val.jpg", "in/none.jpg")))
    splits = read_all(root)
    assert objects(splits["train"]) == {"train.jpg": [("object", BOX)], "none.jpg": []}
    assert objects(splits["val"]) == {"val.jpg": [("object", BOX)]}
    assert "never annotated" not in str([found.oddities for found in splits.values()])


def test_a_fault_of_another_split_is_not_this_one_s(write_files: Write, objects: Any) -> None:
    head = "image_id,xmin,ymin,xmax,ymax\n"
    tables = {"train.csv": f"{head}a.jpg,10,10,34,30\n", "val.csv": f"{head}../../x.jpg,1,1,5,5\n"}
    root = write_files(tables | dict.fromkeys(("a.jpg", "none.jpg")))
    train = open_dataset(root=root, split="train", classes=None, invalid_boxes="error")
    assert sorted(objects(train)) == ["a.jpg", "none.jpg"]
