"""What annotations name stays within the data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from detection.data.formats.open import available_splits, open_dataset, open_every_split
from tests.data.formats.conftest import WriteFiles

OBJECT = (
    "<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    "</bndbox></object>"
)
XML = "<annotation><filename>{name}</filename><size><width>64</width><height>48</height></size>"


def _voc(name: str) -> str:
    return XML.format(name=name) + OBJECT + "</annotation>"


def _coco(name: str) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": name, "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
    }


def _via(name: str) -> dict[str, Any]:
    shape = {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9}
    region = {"shape_attributes": shape, "region_attributes": {"class": "a"}}
    return {name: {"filename": name, "size": 1, "regions": [region], "file_attributes": {}}}


def _labelme(name: str) -> dict[str, Any]:
    shape = {"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    sizes = {"imageWidth": 64, "imageHeight": 48}
    return {"version": "5", "shapes": [shape], "imagePath": name, "imageData": None} | sizes


def _cvat(name: str) -> str:
    box = '<box label="a" xtl="1" ytl="1" xbr="9" ybr="9" occluded="0"/>'
    image = f'<image id="0" name="{name}" width="64" height="48">{box}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>"


# The annotation that names a picture, by format.
NAMING = {
    "COCO tree": lambda name: {"annotations/instances_train.json": _coco(name)},
    "COCO": lambda name: {"some.json": _coco(name)},
    "VOC loose": lambda name: {"x.xml": _voc(name)},
    "VIA": lambda name: {"via.json": _via(name)},
    "LabelMe": lambda name: {"a.json": _labelme(name)},
    "CVAT": lambda name: {"a.xml": _cvat(name)},
    "YOLO list": lambda name: {
        "data.yaml": "names: [a]\ntest: list.txt\n",
        "list.txt": name,
    },
    "CSV": lambda name: {
        "a.csv": f"filename,width,height,class,xmin,ymin,xmax,ymax\n{name},64,48,a,1,1,9,9\n"
    },
}


@pytest.fixture
def outside(tmp_path: Path, write_files: WriteFiles) -> Path:
    write_files({"elsewhere/outside.jpg": None, "set/images/inside.jpg": None})
    (tmp_path / "set/train2017").mkdir()
    return tmp_path / "elsewhere/outside.jpg"


def _under(files: dict[str, Any]) -> dict[str, Any]:
    return {f"set/{name}": content for name, content in files.items()}


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "dots"])
@pytest.mark.parametrize("format", NAMING)
def test_a_name_that_leads_out_is_refused(
    format: str, relative: bool, outside: Path, write_files: WriteFiles
) -> None:
    name = "../elsewhere/outside.jpg" if relative else str(outside)
    if format == "COCO tree" and relative:
        name = f"../{name}"  # counts from the folder of its pictures
    root = write_files(_under(NAMING[format](name))) / "set"
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        open_every_split(root=root, invalid_boxes="clip")
    said = str(refused.value)
    assert re.search(r"outside of the data set.*data\.allow_outside=true", said), said
    assert str(outside) in said
    assert "\n" not in said
    allowed = open_every_split(root=root, invalid_boxes="clip", allow_outside=True)
    (dataset,) = allowed.values()
    assert [example.path.resolve() for example in dataset.examples] == [outside]


@pytest.mark.parametrize("format", NAMING)
def test_a_file_of_that_name_within_the_data_set_is_the_one(
    format: str, outside: Path, write_files: WriteFiles
) -> None:
    files = _under(NAMING[format](str(outside))) | {"set/images/outside.jpg": None}
    root = write_files(files) / "set"
    (dataset,) = open_every_split(root=root, invalid_boxes="clip").values()
    assert [example.path for example in dataset.examples] == [root / "images/outside.jpg"]


def test_lists_of_trees_do_not_lead_out(outside: Path, write_files: WriteFiles) -> None:
    voc = {
        "VOC2007/ImageSets/Main/train.txt": "../../../elsewhere/outside",
        "VOC2007/JPEGImages/inside.jpg": None,
    }
    write_files(_under(voc) | {"elsewhere/outside.xml": _voc("outside.jpg")})
    root = outside.parents[1] / "set"
    with pytest.raises((ValueError, FileNotFoundError)):
        open_dataset(root=root, split="train", classes=None, invalid_boxes="clip")
    with pytest.raises(ValueError, match=r"data\.allow_outside=true"):
        open_dataset(
            root=root, split="train", classes=None, invalid_boxes="clip", check_images=False
        )


def test_lists_of_imagenet_do_not_lead_out(outside: Path, write_files: WriteFiles) -> None:
    det = {
        "ImageSets/DET/val.txt": "../../../../elsewhere/outside 1",
        "Data/DET/val/inside.JPEG": "",
        "Annotations/DET/val/inside.xml": _voc("inside"),
    }
    root = write_files(_under(det)) / "set"
    outside.rename(outside.with_suffix(".JPEG"))
    with pytest.raises(ValueError, match=r"outside of the data set.*data\.allow_outside=true"):
        open_dataset(root=root, split="val", classes=None, invalid_boxes="clip")


@pytest.mark.parametrize("link", ["images/outside.jpg", "linked"])
def test_links_lead_out_if_they_are_allowed_to(
    link: str, outside: Path, write_files: WriteFiles
) -> None:
    root = write_files(_under({"some.json": _coco("outside.jpg")})) / "set"
    (root / link).symlink_to(outside if link.endswith("jpg") else outside.parent)
    with pytest.raises(ValueError, match=rf"{link}.*data\.allow_outside=true"):
        open_every_split(root=root, invalid_boxes="clip")
    with pytest.raises(ValueError, match=r"data\.allow_outside=true"):
        available_splits(root)
    assert available_splits(root, allow_outside=True)
    (dataset,) = open_every_split(root=root, invalid_boxes="clip", allow_outside=True).values()
    assert len(dataset) == 1


def test_links_within_and_to_the_data_set_are_fine(outside: Path, write_files: WriteFiles) -> None:
    root = write_files(_under({"some.json": _coco("second.jpg")})) / "set"
    (root / "second.jpg").symlink_to(root / "images/inside.jpg")
    link = root.parent / "link"
    link.symlink_to(root)
    for path in (root, link, link / "some.json"):
        (dataset,) = open_every_split(root=path, invalid_boxes="clip").values()
        assert len(dataset) == 1


def test_a_yaml_that_is_named_itself_may_say_where_its_pictures_are(
    outside: Path, write_files: WriteFiles
) -> None:
    text = f"path: {outside.parent}\nnames: [a]\ntrain: .\n"
    root = write_files({"set/data.yaml": text, "elsewhere/outside.txt": "0 .5 .5 .2 .2"})
    with pytest.raises((ValueError, FileNotFoundError)):
        open_every_split(root=root / "set", invalid_boxes="clip")
    (dataset,) = open_every_split(root=root / "set/data.yaml", invalid_boxes="clip").values()
    assert [example.path.name for example in dataset.examples] == ["outside.jpg"]
