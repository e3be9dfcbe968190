"""Seventy broken or odd data sets: read rightly, repaired and said, or refused in a line.

Each case writes a small data set and says what must come of it.  Most are of the kinds that public
bug reports of such software tell of.
"""

from __future__ import annotations

import copy
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset, open_every_split

Entry = dict[str, Any]
WritePicture = Callable[..., None]

# Every picture is 64 x 48, every box 10, 10 to 34, 30 unless a case says otherwise.
WIDTH, HEIGHT = 64, 48


def content(names: tuple[str, ...] = ("p1.jpg", "p2.jpg"), **changes: Any) -> Entry:
    """A COCO file with a mug in each picture."""
    return {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate(names, start=1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 24, 20], "area": 480}
            for i in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, "name": "mug", "supercategory": ""}],
    } | changes


def with_each(kind: str, base: Entry | None = None, **entries: Any) -> Entry:
    """The file with other values in every entry of one list; `...` takes a value away."""
    changed = copy.deepcopy(base or content())
    for entry in changed[kind]:
        for key, value in entries.items():
            if value is ...:
                entry.pop(key, None)
            else:
                entry[key] = value(entry) if callable(value) else value
    return changed


def voc_xml(
    *, size: str = "<width>64</width><height>48</height>", name: str = "mug", inside: str = ""
) -> str:
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>34</xmax><ymax>30</ymax></bndbox>"
    return (
        f"<annotation><size>{size}</size><object><name>{name}</name>{inside or box}</object>"
        "</annotation>"
    )


def write(root: Path, files: dict[str, str | bytes | Entry], picture: WritePicture) -> None:
    """``files``: path -> a text, bytes, what becomes JSON; the names of pictures need nothing."""
    for name, inside in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(inside, dict):
            path.write_text(json.dumps(inside), encoding="utf-8")
        elif isinstance(inside, bytes):
            path.write_bytes(inside)
        elif inside == "" and path.suffix.lower() in (".jpg", ".png"):
            # OpenCV knows formats by their suffix; accents and blanks are no trouble to it.
            picture(path, HEIGHT, WIDTH)
        else:
            path.write_text(inside, encoding="utf-8")


JPEGS = {"images/p1.jpg": "", "images/p2.jpg": ""}
COCO = "annotations/instances_train.json"


def coco(
    json_content: Entry | bytes | str, pictures: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {COCO: json_content} | (JPEGS if pictures is None else pictures)


def voc(
    first: str | bytes, list_: str | bytes = "p1\np2\n", second: str | None = None
) -> dict[str, Any]:
    return {
        "ImageSets/Main/train.txt": list_,
        "Annotations/p1.xml": first,
        "Annotations/p2.xml": voc_xml() if second is None else second,
        "JPEGImages/p1.jpg": "",
        "JPEGImages/p2.jpg": "",
    }


def yolo(first: str | bytes, **more: str | bytes | Entry) -> dict[str, Any]:
    files = {"images/p1.jpg": "", "images/p2.jpg": "", "labels/p1.txt": first}
    files |= {"labels/p2.txt": "0 0.5 0.5 0.25 0.5\n", "classes.txt": "mug\njug\n"}
    return files | {
        name.replace("__", "/").replace("_dot_", "."): text for name, text in more.items()
    }


def table(lines: str | bytes, name: str = "train_labels.csv") -> dict[str, Any]:
    return {name: lines} | JPEGS


NFD = unicodedata.normalize("NFD", "café.jpg")
GROUPS = [
    {"id": 0, "name": "gull", "supercategory": "none"},
    {"id": 1, "name": "gull", "supercategory": "gull"},
]
AB = ("a/1.jpg", "b/1.jpg")
VIA_REGION = {
    "shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9},
    "region_attributes": {"class": "mug"},
}
POLYGON = [[10, 10, 34, 10, 34, 30, 10, 30]]
RUNS = {"size": [48, 64], "counts": [490] + [20, 28] * 23 + [20, 1458]}

# name: files, what is said among the repairs ("" for nothing), number of boxes
READ: dict[str, tuple[dict[str, Any], str, int]] = {
    "a root category with a class's name": (coco(content(categories=GROUPS)), "only groups", 2),
    "back-slashes in names": (
        coco(content(("images\\1/p1.jpg", "..\\label\\p2.jpg"))), "back-slashes", 2,
    ),
    "paths of another machine": (
        coco(content(("C:\\data\\images\\p1.jpg", "/home/ann/p2.jpg"))), "another machine", 2,
    ),
    "names relative to the root": (coco(content(("images/p1.jpg", "images/p2.jpg"))), "", 2),
    "case and suffix": (coco(content(("P1.JPG", "p2.png"))), "another case", 2),
    "names with %-codes": (
        coco(content(("a%20b.jpg", "p2.jpg")), {"images/a b.jpg": "", "images/p2.jpg": ""}),
        "%-codes", 2,
    ),
    "accents as two characters": (
        coco(content(("café.jpg", "p2.jpg")), {f"images/{NFD}": "", "images/p2.jpg": ""}),
        "accents", 2,
    ),
    "a link of Label Studio": (
        coco(content(("/data/local-files/?d=p1.jpg", "0a1b2c3d-p2.jpg"))), "eight digits", 2,
    ),
    "the same name in two folders": (
        coco(content(("a/p1.jpg", "b/p1.jpg")), {"images/a/p1.jpg": "", "images/b/p1.jpg": ""}),
        "", 2,
    ),
    "ids as texts in one list": (
        coco(with_each("annotations", image_id=lambda a: str(a["image_id"]), category_id="1")),
        "ids that are texts", 2,
    ),
    "ids that are no numbers": (
        coco(with_each("images", with_each("annotations", image_id=lambda a: f"c0-{a['id']}"),
                       id=lambda i: f"c0-{i['id']}")),
        "no integers", 2,
    ),
    "ids with zeros before them": (
        coco(with_each("images", with_each("annotations", image_id=lambda a: "0" * a["id"] + "7"),
                       id=lambda i: "0" * i["id"] + "7")),
        "no integers", 2,
    ),
    "COCO's sizes 0": (coco(with_each("images", width=0, height=None)), "size of a picture", 2),
    "COCO's sizes as texts": (coco(with_each("images", width="64")), "digits in quotes", 2),
    "a mask for a box": (
        coco(with_each("annotations", bbox=..., segmentation=POLYGON)), "from the mask", 2,
    ),
    "runs for a box": (
        coco(with_each("annotations", bbox=[], segmentation=RUNS)), "from the mask", 2,
    ),
    "numbers of a box as texts": (
        coco(with_each("annotations", bbox=["10", "10", "24", "20"])), "digits in quotes", 2,
    ),
    "JSON in UTF-16": (coco(json.dumps(content()).encode("utf-16")), "", 2),
    "JSON with a byte order mark": (coco(json.dumps(content()).encode("utf-8-sig")), "", 2),
    "a box over the border": (
        coco(content(("p1.jpg", "p2.jpg", "p3.jpg"), annotations=[
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 10, 24, 20]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [5, 10, 24, 20]},
        ]), JPEGS | {"images/p3.jpg": ""}),
        "over the border", 2,
    ),
    "VOC's sizes 0": (voc(voc_xml(size="<width>0</width><height>0</height>")), "size of a", 2),
    "no size at all": (voc("<annotation/>"), "size of a picture missing", 1),
    "a size a pixel off": (
        voc(voc_xml(size="<width>63</width><height>48</height>")), "a pixel off", 2,
    ),
    "a size turned": (
        voc(voc_xml(size="<width>48</width><height>64</height>")), "exchanged", 2,
    ),
    "a polygon for a box": (
        voc(voc_xml(inside="<polygon><x1>11</x1><y1>11</y1><x2>34</x2><y2>30</y2></polygon>")),
        "from the polygon", 2,
    ),
    "GBK that does not say so": (voc(voc_xml(name="车").encode("gbk")), "gb18030", 2),
    "GB2312 that says so": (
        voc(('<?xml version="1.0" encoding="gb2312"?>' + voc_xml(name="车")).encode("gb2312")),
        "", 2,
    ),
    "an encoding that nobody knows": (
        voc('<?xml version="1.0" encoding="cp99999"?>' + voc_xml()), "", 2,
    ),
    "an XML namespace": (
        voc(voc_xml().replace("<annotation>", '<annotation xmlns="http://example.org">')), "", 2,
    ),
    "a list in UTF-16": (voc(voc_xml(), "p1\r\np2\r\n".encode("utf-16")), "", 2),
    "a list with a mark, suffixes and folders": (
        voc(voc_xml(), "JPEGImages/p1.jpg\n/data/voc/p2.jpg\n".encode("utf-8-sig")), "", 2,
    ),
    "a list in another case": (voc(voc_xml(), "P1\np2\n"), "another case", 2),
    "a list in quotes": (voc(voc_xml(), '"p1"\n"p2"\n'), "", 2),
    "a name three times": (voc(voc_xml(), "p1\np2\np2\np2\n"), "several times", 2),
    "names that end in a number": (
        {
            "ImageSets/Main/train.txt": "scan\nscan 0\nscan 1\n",
            **{f"Annotations/{n}.xml": voc_xml() for n in ("scan", "scan 0", "scan 1")},
            **{f"JPEGImages/{n}.jpg": "" for n in ("scan", "scan 0", "scan 1")},
        },
        "", 3,
    ),
    "sub-folders of a task": (
        {
            "ImageSets/Main/train.txt": "a/001\nb/001\n",
            **{f"Annotations/{n}/001.xml": voc_xml() for n in "ab"},
            **{f"JPEGImages/{n}/001.jpg": "" for n in "ab"},
        },
        "", 2,
    ),
    "hidden files beside photos": (
        {"p1.jpg": "", "p1.xml": voc_xml(), "._p1.jpg": b"\0\5\x16\7", "._p1.xml": b"\0\5\x16\7",
         "__MACOSX/p1.xml": voc_xml(), ".ipynb_checkpoints/p1.xml": voc_xml()},
        "", 1,
    ),
    "a folder that is called as a picture is": (
        {"p1.jpg": "", "p1.xml": voc_xml(), "album.jpg/notes.md": "none"}, "", 1,
    ),
    "YOLO's polygons": (yolo("0 0.1 0.1 0.5 0.1 0.5 0.5\n"), "from a polygon", 2),
    "YOLO with CRLF and a mark": (yolo("\ufeff0 0.5 0.5 0.5 0.5\r\n"), "", 2),
    "a picture that was never labelled for YOLO": (
        yolo("0 0.5 0.5 0.5 0.5\n") | {"images/p3.jpg": ""}, "never annotated", 2,
    ),
    "a table without a head": (
        table("images/p1.jpg,10,10,34,30,mug\nimages/p2.jpg,,,,,\n"), "no head", 1,
    ),
    "a table with semicolons": (
        table("image;label;x1;y1;x2;y2\np1;mug;10;10;34;30\n"), "without their suffix", 1,
    ),
    "Kaggle's box in brackets": (
        table('image_id,width,height,bbox\np1.jpg,64,48,"[10.0, 10.0, 24.0, 20.0]"\n'),
        "columns", 1,
    ),
}  # fmt: skip


def read(root: Path) -> DetectionDataset:
    splits = open_every_split(root=root, invalid_boxes="clip")
    return splits["train"] if "train" in splits else splits["all"]


@pytest.mark.parametrize("case", READ)
def test_it_is_read(case: str, tmp_path: Path, write_picture: WritePicture) -> None:
    files, said, boxes = READ[case]
    write(tmp_path, files, write_picture)
    dataset = read(tmp_path)
    assert sum(len(example.labels) for example in dataset.examples) == boxes
    assert all(example.size == (HEIGHT, WIDTH) for example in dataset.examples)
    told = "\n".join(map(str, dataset.oddities))
    assert said in told
    # What is as it should be is not called odd.
    assert bool(said) == bool(told), told
    if said != "over the border" and "polygon" not in case.lower() and "YOLO" not in case:
        corners = [b for e in dataset.examples for b in e.boxes.tolist() if len(e.labels)]
        assert corners == [[10, 10, 34, 30]] * boxes


# name: files, what the message must name
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({}, ("the folder is empty",)),
    "pictures alone": (JPEGS, ("2 pictures", "Annotations are missing")),
    "an archive": ({"data.zip": b"PK"}, ("data.zip: unpack it",)),
    "COCO without categories": (
        {"x.json": {"images": [], "annotations": []}}, ("x.json", "lacks", "categories"),
    ),
    "a list of Label Studio": ({"x.json": "[]"} | JPEGS, ("x.json", "export it as COCO")),
    "another table": (table("a,b\n1,2\n"), ("train_labels.csv", "filename,class,xmin")),
    "another XML": ({"x.xml": "<kml/>"} | JPEGS, ("x.xml has <kml>",)),
    "a picture that is not there": (
        coco(content(("p1.jpg", "q2.jpg"))), ("1 of 2 images", "q2.jpg", "is images/p2.jpg"),
    ),
    "two pictures that may be meant": (
        coco(content(("p1.jpg", "p2.jpg")), {"images/a/p1.jpg": "", "images/b/p1.jpg": "",
                                             "images/p2.jpg": ""}),
        ("2 files are called so", "images/a/p1.jpg", "images/b/p1.jpg"),
    ),
    "a picture of another entry": (
        coco(content(("cam_a/1.jpg", "cam_b/1.jpg")), {"images/cam_b/1.jpg": ""}),
        (COCO, "'cam_b/1.jpg' and 'cam_a/1.jpg' lead to one picture", "images/cam_b/1.jpg"),
    ),
    "a table's picture of another line": (
        table("image,label,x1,y1,x2,y2\na/1.jpg,mug,1,1,9,9\nb/1.jpg,mug,1,1,9,9\n")
        | {"b/1.jpg": ""},
        ("train_labels.csv", "'b/1.jpg' and 'a/1.jpg' lead to one picture"),
    ),
    "VIA's picture of another entry": (
        {"via.json": {n: {"filename": n, "size": 1, "regions": [VIA_REGION]} for n in AB}}
        | {"b/1.jpg": ""},
        ("via.json", "'b/1.jpg' and 'a/1.jpg' lead to one picture"),
    ),
    "CVAT's picture of another entry": (
        {"x.xml": "<annotations>" + "".join(f'<image name="{n}"/>' for n in AB) + "</annotations>",
         "b/1.jpg": ""},
        ("x.xml", "'b/1.jpg' and 'a/1.jpg' lead to one picture"),
    ),
    "LabelMe's picture of another file": (
        {f"{n[0]}/1.json": {"shapes": [], "imagePath": "1.jpg"} for n in AB} | {"b/1.jpg": ""},
        ("'1.jpg' of b and '1.jpg' of a lead to one picture, b/1.jpg",),
    ),
    "a picture of another split": (
        {"annotations/instances_val.json": content(("p1.jpg",)), "train/p1.jpg": ""},
        ("1 of 1 images", "train/p1.jpg is in the folder of another split"),
    ),
    "two used classes of one name": (
        coco(content(categories=[{"id": 1, "name": "mug"}, {"id": 2, "name": "mug"}],
                     annotations=[{"id": i, "image_id": 1, "category_id": i, "bbox": [1, 1, 5, 5]}
                                  for i in (1, 2)])),
        ("two categories have the same name", "['mug', 'mug']"),
    ),
    "the same id twice": (
        coco(content(images=[{"id": i, "file_name": "p1.jpg", "width": 64, "height": 48}
                             for i in (7, "7")])),
        ("two images have the same id '7'",),
    ),
    "an id that is in no list": (
        coco(with_each("annotations", image_id="07")), ("image id '07'", "not in 'images'"),
    ),
    "no box and no mask": (
        coco(with_each("annotations", bbox=None, segmentation=[])), ("2 faults", "bbox None"),
    ),
    "VIA's COCO without classes": (
        coco(with_each("annotations", category_id=...)), ("[0] (id 1) has no category_id",),
    ),
    "corners for width and height": (
        coco(content(annotations=[{"id": i, "image_id": 1, "category_id": 1,
                                   "bbox": [30, 20, 60, 40]} for i in range(4)])),
        ("4 invalid boxes", "two corners"),
    ),
    "parts of the size for pixels": (
        coco(with_each("annotations", bbox=[0.1, 0.2, 0.4, 0.5])), ("multiply them", COCO),
    ),
    "another size": (
        coco(with_each("images", width=128, height=96)), ("64x48", "128x96", "2 faults", "p1.jpg"),
    ),
    "two boxes of one object": (
        voc(voc_xml(inside="<bndbox/><bndbox/>")), ("p1.xml, object 1 has 2 <bndbox>",),
    ),
    "a decimal comma": (
        voc(voc_xml(inside="<bndbox><xmin>1,5</xmin></bndbox>")), ("p1.xml", "'1,5'", "point"),
    ),
    "an empty XML": (voc(b""), ("p1.xml: not valid XML",)),
    "a web page for a picture": (
        voc(voc_xml()) | {"JPEGImages/p2.jpg": b"<html>"}, ("p2.jpg", "it is a web page"),
    ),
    "YOLO in pixels": (yolo("0 10 10 34 30\n"), ("p1.txt, line 1", "not pixels", "0 10 10 34 30")),
    "YOLO with a score": (yolo("0 0.5 0.5 0.5 0.5 0.9\n"), ("p1.txt, line 1", "a score")),
    "YOLO's class beyond the names": (yolo("2 0.5 0.5 0.5 0.5\n"), ("class 2", "2 class names")),
    "a broken yaml": (
        {k: v for k, v in yolo("0 0.5 0.5 0.5 0.5\n").items() if k != "classes.txt"}
        | {"data.yaml": "names: [a, b\ntrain: x"},
        ("data.yaml: not valid YAML",),
    ),
    "a word in a table": (
        table("filename,class,xmin,ymin,xmax,ymax\np1.jpg,mug,ten,10,34,30\n"),
        ("train_labels.csv, line 2", "'ten'"),
    ),
    "CVAT for video": (
        {"annotations.xml": "<annotations><track/></annotations>"}, ("CVAT for images 1.1",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_what_to_do(
    case: str, tmp_path: Path, write_picture: WritePicture
) -> None:
    files, said = REFUSED[case]
    write(tmp_path, files, write_picture)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read(tmp_path)
    for words in said:
        assert words in str(error.value)


def test_classes_are_named_as_they_were_typed(tmp_path: Path, write_picture: WritePicture) -> None:
    # YAML makes 0 and true of what was typed; the classes are called "0" and "true".
    write(tmp_path, voc(voc_xml(name="0"), second=voc_xml(name="true")), write_picture)
    arguments: dict[str, Any] = {"root": tmp_path, "split": "train", "invalid_boxes": "clip"}
    assert open_dataset(classes=[0, True], **arguments).class_names == ("0", "true")
    with pytest.raises(ValueError, match=r"no class '1'.*it has 0, true"):
        open_dataset(classes=[1], **arguments)


def test_a_difficult_object_may_be_written_with_a_capital(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    xml = voc_xml().replace("</name>", "</name><Difficult>1</Difficult>")
    write(tmp_path, voc(xml), write_picture)
    assert [e.difficult.tolist() for e in read(tmp_path).examples] == [[True], [False]]


def test_the_order_of_a_folder_changes_nothing(
    tmp_path: Path, write_picture: WritePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = yolo("0 0.5 0.5 0.5 0.5\n") | {"images/p1.png": ""}
    write(tmp_path, files, write_picture)
    forwards = read(tmp_path)
    walk = os.walk

    def backwards(top: Any, **options: Any) -> Any:
        for at, folders, names in walk(top, **options):
            yield at, folders, names[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert [e.path for e in read(tmp_path).examples] == [e.path for e in forwards.examples]
