"""What labelling tools export: LabelMe, VIA, CVAT, VOC's XML alone, COCO under any name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detection.data.dataset import DetectionDataset
from detection.data.findings import collected
from detection.data.formats.open import available_splits, open_dataset

Write = Callable[..., Path]
Read = Callable[..., dict[str, DetectionDataset]]
BOX = [10, 10, 34, 30]
MUG = ("mug", BOX)


def labelme(*shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    content = {"version": "5.4.1", "shapes": list(shapes), "imagePath": "a.jpg"}
    return content | {"imageData": None, "imageHeight": 48, "imageWidth": 64} | changes


def shape(kind: str, *points: tuple[float, float]) -> dict[str, Any]:
    return {"label": "mug", "points": [list(p) for p in points], "shape_type": kind}


@pytest.mark.parametrize(
    "drawn",
    [
        shape("rectangle", (10, 10), (34, 30)),
        shape("rectangle", (34, 10), (10, 30)),  # any two opposite corners
        shape("polygon", (10, 20), (22, 10), (34, 20), (22, 30)),
        shape("linestrip", (10, 10), (34, 30)),
    ],
)
def test_the_box_of_each_shape_of_labelme(
    write_files: Write, read_all: Read, objects: Any, drawn: dict[str, Any]
) -> None:
    root = write_files({"train/a.json": labelme(drawn), "train/a.jpg": None, "train/b.jpg": None})
    dataset = read_all(root)["train"]
    assert objects(dataset) == {"a.jpg": [MUG]}
    assert "never annotated" in str(dataset.oddities)


def test_a_circle_of_labelme_and_a_point(write_files: Write, read_all: Read, objects: Any) -> None:
    circle, point = shape("circle", (22, 20), (22, 30)), shape("point", (5, 5))
    dataset = read_all(write_files({"a.json": labelme(circle, point), "a.jpg": None}))["all"]
    assert objects(dataset) == {"a.jpg": [("mug", [12, 10, 32, 30])]}
    assert "point of 1 points, which has no box, left out" in str(dataset.oddities)


def test_boxes_of_a_picture_as_stored_are_refused_whether_they_fit_or_not(
    tmp_path: Path, write_files: Write, read_all: Read
) -> None:
    """Of labelme before 4: the annotation is of 64 x 48, the photo is shown upright, 48 x 64."""
    shape = {"label": "mug", "points": [[10, 10], [34, 30]], "shape_type": "rectangle"}
    root = write_files({"a.json": labelme(shape), "a.jpg": None})
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(root / "a.jpg") as stored:
        stored.copy().save(root / "a.jpg", exif=exif)
    with pytest.raises(ValueError, match=r"48x64 \(upright\), its annotation says 64x48"):
        read_all(root)


def test_labelmes_picture_may_have_another_suffix_and_another_size(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    drawn = shape("rectangle", (10, 10), (34, 30))
    content = labelme(drawn, imagePath="..\\a.jpeg", imageWidth=90)
    dataset = read_all(write_files({"a.json": content, "a.png": None}))["all"]
    assert objects(dataset) == {"a.png": [MUG]}
    assert [odd.count for odd in dataset.oddities] == [1, 1]
    # Where a box would lie beside the picture the size is no slip.
    far = labelme(shape("rectangle", (10, 10), (89, 30)), imageWidth=90)
    with pytest.raises(ValueError, match=r"a\.png: the image is 64x48 .* says 90x48"):
        read_all(write_files({"a.json": far}))


def test_a_file_of_labelme_without_shapes_is_background(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    dataset = read_all(write_files({"a.json": labelme(), "a.jpg": None}))["all"]
    assert objects(dataset) == {"a.jpg": []}


def region(name: str = "rect", attributes: dict[str, Any] | None = None, **numbers: Any) -> Any:
    numbers = numbers or {"x": 10, "y": 10, "width": 24, "height": 20}
    return {
        "shape_attributes": {"name": name, **numbers},
        "region_attributes": {"class": "mug"} if attributes is None else attributes,
    }


def via(*regions: Any, **more: Any) -> dict[str, Any]:
    return {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": list(regions), **more}}


@pytest.mark.parametrize(
    "content",
    [
        via(region()),
        {"_via_settings": {}, "_via_img_metadata": via(region())},
        via(region("circle", cx=22, cy=20, r=10)) | {},
        via(region("polygon", all_points_x=[10, 34, 34], all_points_y=[10, 10, 30])),
        via(regions={"0": region()}),
        via(region(attributes={"kind": {"mug": True, "jug": False}, "score": {}})),
        via(region(attributes={"type": "unknown", "name": "mug"})),
    ],
)
def test_a_project_of_via(write_files: Write, read_all: Read, objects: Any, content: Any) -> None:
    root = write_files({"via.json": content, "pictures/a.jpg": None, "pictures/b.jpg": None})
    ((name, box),) = objects(read_all(root)["all"])["a.jpg"]
    assert name == "mug"
    assert box in (BOX, [12, 10, 32, 30])


def test_each_file_of_via_names_the_pictures_beside_it(write_files: Write, read_all: Read) -> None:
    files = {f"{f}/mine.json": via(region(attributes={"class": f})) for f in "xy"}
    root = write_files(files | {"x/a.jpg": None, "y/a.jpg": None, "y/b.jpg": None})
    (dataset,) = read_all(root).values()
    found = {e.path: dataset.class_names[e.labels[0] - 1] for e in dataset.examples}
    assert found == {root / "x" / "a.jpg": "x", root / "y" / "a.jpg": "y"}
    assert "never annotated" in str(dataset.oddities)


def test_a_file_of_via_says_nothing_of_the_other_splits(write_files: Write, read_all: Read) -> None:
    validation = {"b.jpg9": {"filename": "b.jpg", "size": 9, "regions": [region()]}}
    files = {"train.json": via(region()), "val.json": validation}
    root = write_files(files | {"a.jpg": None, "b.jpg": None, "c.jpg": None})
    said = [str(oddity) for oddity in read_all(root)["train"].oddities]
    assert [text.split(": ")[1] for text in said if "never annotated" in text] == [f"{root}/c.jpg"]


@pytest.mark.parametrize("kind", ["VIA", "CVAT", "LabelMe"])
def test_a_second_download_doubles_no_picture(
    write_files: Write, read_all: Read, objects: Any, kind: str
) -> None:
    drawn = labelme(shape("rectangle", (10, 10), (34, 30)))
    contents = {"VIA": ("json", via(region())), "CVAT": ("xml", cvat(CVAT_BOX))}
    suffix, content = contents.get(kind, ("json", drawn))
    files = {f"train{number}.{suffix}": content for number in ("", " (1)")}
    root = write_files({f"train/{name}": text for name, text in files.items()} | {"a.jpg": None})
    dataset = read_all(root)["train"]
    assert len(dataset) == 1
    assert objects(dataset) == {"a.jpg": [MUG]}
    assert "annotated twice alike" in str(dataset.oddities)


def test_the_class_of_via_is_not_guessed(write_files: Write, read_all: Read) -> None:
    unclear = via(region(attributes={"maker": "x", "state": "y"}))
    with pytest.raises(ValueError, match=r"which attribute .* maker, state.*Rename it"):
        read_all(write_files({"via.json": unclear, "a.jpg": None}))


def test_pictures_of_via_from_the_web_are_left_out(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    web = {"s-1": {"filename": "swan.jpg", "size": -1, "regions": [region()]}}
    dataset = read_all(write_files({"via.json": via(region()) | web, "a.jpg": None}))["all"]
    assert objects(dataset) == {"a.jpg": [MUG]}
    assert "from the web" in str(dataset.oddities)


def test_a_table_of_via(write_files: Write, read_all: Read, objects: Any) -> None:
    rect = json.dumps(region()["shape_attributes"]).replace('"', '""')
    head = "filename,file_size,file_attributes,region_count,region_id,"
    lines = (
        f"{head}region_shape_attributes,region_attributes\n"
        f'a.jpg,123,"{{}}",1,0,"{rect}","{{""class"":""mug""}}"\n'
        'b.jpg,99,"{}",0,0,"{}","{}"\n'
    )
    root = write_files({"via.csv": lines, "a.jpg": None, "b.jpg": None})
    assert objects(read_all(root)["all"]) == {"a.jpg": [MUG]}


CVAT_BOX = '<box label="mug" occluded="0" xtl="10.00" ytl="10.00" xbr="34.00" ybr="30.00"></box>'


def cvat(inside: str, name: str = "a.jpg", meta: str = "job") -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><annotations><meta><{meta}><labels><label><name>jug'
        f"</name></label><label><name>mug</name></label></labels></{meta}></meta>"
        f'<image id="0" name="{name}" width="64" height="48">{inside}</image></annotations>'
    )


@pytest.mark.parametrize(
    ("name", "picture"),
    [("a.jpg", "images/a.jpg"), ("site/a.jpg", "images/site/a.jpg"), ("a.jpg", "a.jpg"),
     ("a.jpg", "images/a.JPG")],
)  # fmt: skip
def test_cvats_pictures_are_found(
    write_files: Write, read_all: Read, objects: Any, name: str, picture: str
) -> None:
    dataset = read_all(write_files({"annotations.xml": cvat(CVAT_BOX, name), picture: None}))["all"]
    assert objects(dataset) == {Path(picture).name: [MUG]}
    assert dataset.class_names == ("jug", "mug")


def test_other_shapes_of_cvat(write_files: Write, read_all: Read, objects: Any) -> None:
    polygon = '<polygon label="mug" points="10,10;34,10;34,30"/>'
    turned = CVAT_BOX.replace("xtl", 'rotation="90" xtl')
    points = '<points label="mug" points="1,1"/><tag label="mug"/>'
    root = write_files({"annotations.xml": cvat(polygon + turned + points), "a.jpg": None})
    dataset = read_all(root)["all"]
    (first, second) = objects(dataset)["a.jpg"]
    assert first == MUG
    # 24 x 20 about 22, 20, turned by a right angle.
    assert second[1] == pytest.approx([12, 8, 32, 32])
    assert "points, which has no box" in str(dataset.oddities)


def test_subsets_of_cvat_are_splits(write_files: Write, read_all: Read, objects: Any) -> None:
    image = '<image id="{0}" name="{0}.jpg" subset="{1}" width="64" height="48">{2}</image>'
    images = image.format("a", "Train", CVAT_BOX) + image.format("b", "Test", "")
    xml = f"<annotations><version>1.1</version>{images}</annotations>".replace("><v", ">\n<v")
    splits = read_all(write_files({"annotations.xml": xml, "a.jpg": None, "b.jpg": None}))
    assert {name: objects(dataset) for name, dataset in splits.items()} == {
        "Train": {"a.jpg": [MUG]},
        "Test": {"b.jpg": []},
    }


XML = (
    "<annotation><filename>{}</filename><size><width>{}</width><height>48</height></size><object>"
    "<name>mug</name><bndbox><xmin>11</xmin><ymin>11</ymin><xmax>34</xmax><ymax>30</ymax></bndbox>"
    "</object></annotation>"
)


def test_vocs_files_beside_the_pictures(write_files: Write, read_all: Read, objects: Any) -> None:
    root = write_files(
        {
            "train/a.xml": XML.format("a.png", 0),
            "train/a.jpg": None,
            "train/a.png": None,
            "train/b.jpg": None,
            "test/c.xml": XML.format("of another time.jpg", 64),
            "test/c.jpg": None,
            "test/classes.txt": "dog\nperson\n",
        }
    )
    splits = read_all(root)
    # Of two pictures of one name the one that the file names.
    assert objects(splits["train"]) == {"a.png": [MUG]}
    assert objects(splits["test"]) == {"c.jpg": [MUG]}
    kinds = " ".join(odd.kind for odd in splits["train"].oddities)
    assert "second picture of the same name" in kinds
    assert "never annotated" in kinds
    assert "size of a picture missing" in kinds


def test_vocs_files_in_a_folder_of_their_own(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    root = write_files({"Annotations/a.xml": XML.format("a.jpg", 64), "images/a.jpg": None})
    assert objects(read_all(root)["all"]) == {"a.jpg": [MUG]}


def test_a_picture_that_two_files_annotate_is_refused(write_files: Write, read_all: Read) -> None:
    files = {"x/a.xml": XML.format("a.jpg", 64), "y/a.xml": XML.format("a.jpg", 64)}
    with pytest.raises(ValueError, match=r"it annotates a\.jpg, as .* does"):
        read_all(write_files(files | {"a.jpg": None}))


def coco(name: str) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": name, "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 24, 20]}],
        "categories": [{"id": 1, "name": "mug"}],
    }


@pytest.mark.parametrize(
    ("file", "picture", "split"),
    [
        ("result.json", "images/a.jpg", "all"),
        ("annotations/train.json", "images/train/a.jpg", "train"),
        ("labels_valid.json", "valid/a.jpg", "valid"),
        ("test/my export.json", "test/a.jpg", "test"),
    ],
)
def test_coco_under_any_name(
    write_files: Write, read_all: Read, objects: Any, file: str, picture: str, split: str
) -> None:
    root = write_files({file: coco("a.jpg"), picture: None, "other/a.jpg": None})
    splits = read_all(root)
    assert list(splits) == [split]
    assert objects(splits[split]) == {"a.jpg": [MUG]}
    assert splits[split].examples[0].path == root / picture


def test_a_json_may_be_the_root(write_files: Write, read_all: Read, objects: Any) -> None:
    root = write_files({"mine/x.json": coco("a.jpg"), "mine/pictures/a.jpg": None})
    assert objects(read_all(root / "mine" / "x.json")["all"]) == {"a.jpg": [MUG]}


def test_of_several_exports_those_that_are_not_read_are_said(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    files = {"result.json": coco("a.jpg"), "images/a.jpg": None, "images/b.jpg": None}
    files |= {"annotations.xml": cvat(CVAT_BOX), "classes.txt": "mug\n"}
    files |= {f"labels/{name}.txt": "0 0.5 0.5 0.5 0.5\n" for name in "ab"}
    root = write_files(files)
    dataset = read_all(root)["all"]
    assert objects(dataset) == {"a.jpg": [MUG]}
    assert str(dataset.oddities[-1]) == (
        "3 x file of annotations that is not read, since those of another format are; pass its "
        "path to read it, or take it away: annotations.xml (CVAT for images, not COCO)"
    )
    assert dataset.oddities[-1].others == tuple(
        f"labels/{name}.txt (YOLO, not COCO)" for name in "ab"
    )
    assert read_all(root / "result.json")["all"].oddities == ()
    # One that cannot be read is no hindrance.
    write_files({"data.yaml": "train: images\nnames: {a: b}\n"})
    assert objects(read_all(root)["all"]) == {"a.jpg": [MUG]}


def test_two_files_of_one_split_are_not_chosen_between(write_files: Write) -> None:
    root = write_files({"train.json": coco("a.jpg"), "old_train.json": coco("a.jpg")})
    with pytest.raises(ValueError, match=r"2 files may be .* of 'train': old_train\.json, train"):
        open_dataset(root=root, split="train", classes=None, invalid_boxes="error")


def test_a_split_has_several_names(write_files: Write) -> None:
    root = write_files({"valid/_annotations.coco.json": coco("a.jpg"), "valid/a.jpg": None})
    assert available_splits(root) == ["valid"]
    for name in ("valid", "val", "validation"):
        assert len(open_dataset(root=root, split=name, classes=None, invalid_boxes="error")) == 1
    with pytest.raises(FileNotFoundError, match=r"no split 'test'\. There are valid"):
        open_dataset(root=root, split="test", classes=None, invalid_boxes="error")


def test_a_data_set_may_lie_a_folder_down(write_files: Write, read_all: Read) -> None:
    root = write_files(
        {"zip/annotations/instances_x.json": coco("a.jpg"), "zip/images/a.jpg": None}
    )
    assert list(read_all(root)) == ["x"]


@pytest.mark.parametrize(
    ("name", "boxes"),
    [("stitches", 85), ("cones", 327), ("cones/data.yaml", 327), ("combat", 101), ("modak", 848),
     ("modak/images", 848), ("fruit", 191), ("dogs", 110), ("stopsign", 57), ("cars", 64)],
)  # fmt: skip
def test_real_exports_have_the_boxes_that_their_owners_drew(
    data_folder: Path, read_all: Read, name: str, boxes: int
) -> None:
    root = data_folder / "own" / name
    if not root.exists():
        pytest.skip("without the folder of owners' data sets")
    found = read_all(root).values()
    assert sum(len(e.labels) for dataset in found for e in dataset.examples) == boxes


def test_a_difficult_object_without_lists_is_as_one_with_them(
    write_files: Write, read_all: Read
) -> None:
    files = {f"{stem}.xml": XML.format(f"{stem}.jpg", 64) for stem in "ab"}
    files["a.xml"] = files["a.xml"].replace("</object>", "<difficult>1</difficult></object>")
    dataset = read_all(write_files(files | {"a.jpg": None, "b.jpg": None}))["all"]
    assert [e.difficult.tolist() for e in dataset.examples] == [[True], [False]]


def test_a_check_of_vocs_files_goes_on_after_a_missing_picture(write_files: Write) -> None:
    files = {f"{stem}.xml": XML.format(f"{stem}.jpg", 64) for stem in "ab"}
    root = write_files(files | {"b.jpg": None})
    with collected() as faults:
        dataset = open_dataset(root=root, split="all", classes=None, invalid_boxes="clip")
    assert [e.path.name for e in dataset.examples] == ["b.jpg"]
    assert "no picture a.jpg" in str(faults)


def test_parts_of_one_object_of_labelme_are_joined(
    write_files: Write, read_all: Read, objects: Any
) -> None:
    def part(x1: int, x2: int, group: int | None, label: str = "mug") -> dict[str, Any]:
        points = [[x1, 10], [x2, 10], [x2, 30], [x1, 30]]
        return {"label": label, "points": points, "shape_type": "polygon", "group_id": group}

    shapes = [part(10, 14, 1), part(30, 34, 1), part(40, 44, 1, "jug"), part(50, 54, None),
              part(56, 60, None) | {"difficult": True}]  # fmt: skip
    corners = [[1, 1], [3, 3]], [[5, 5], [7, 7]]
    boxes = [{"label": "mug", "points": two, "shape_type": "rectangle", "group_id": 1}
             for two in corners]  # fmt: skip
    shapes += [*boxes, part(8, 9, None) | {"group_id": []}]
    dataset = read_all(write_files({"a.json": labelme(*shapes), "a.jpg": None}))["all"]
    assert objects(dataset)["a.jpg"] == [
        MUG,
        ("jug", [40, 10, 44, 30]),
        ("mug", [50, 10, 54, 30]),
        ("mug", [56, 10, 60, 30]),
        ("mug", [1, 1, 3, 3]),  # boxes are objects each
        ("mug", [5, 5, 7, 7]),
        ("mug", [8, 10, 9, 30]),
    ]
    assert dataset.examples[0].difficult.tolist() == [False, False, False, True, *[False] * 3]
    assert "outlines of one group_id" in str(dataset.oddities)


def test_labelmes_xml_is_read(write_files: Write, read_all: Read, objects: Any) -> None:
    """As of LabelMe on the web, and of CVAT's "LabelMe 3.0"."""

    def item(deleted: int, *points: tuple[int, int]) -> str:
        corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
        name = f"<name>mug</name><deleted>{deleted}</deleted>"
        return f"<object>{name}<polygon><username>me</username>{corners}</polygon></object>"

    box = [(10, 10), (34, 10), (34, 30), (10, 30)]
    xml = (
        "<annotation><filename>a.jpg</filename><folder>mine</folder>"
        f"{item(0, *box)}{item(1, (1, 1), (9, 9))}"
        "<imagesize><nrows>48</nrows><ncols>64</ncols></imagesize></annotation>"
    )
    assert objects(read_all(write_files({"a.xml": xml, "a.jpg": None}))["all"]) == {"a.jpg": [MUG]}
