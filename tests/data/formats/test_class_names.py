"""Names of classes that differ in case alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detection.data.formats.voc import VOC_CLASSES, read_voc


def voc(root: Path, write_files: Any, names: list[str]) -> Any:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object>"
        for name in names
    )
    size = "<size><width>64</width><height>48</height></size>"
    write_files({
        "JPEGImages/a.jpg": None, "ImageSets/Main/train.txt": "a\n",
        "Annotations/a.xml": f"<annotation>{size}{objects}</annotation>",
    })  # fmt: skip
    return read_voc(root=root, split="train", check_images=True, invalid_boxes="error")


def test_a_person_in_another_case_is_one_of_vocs(tmp_path: Path, write_files: Any) -> None:
    dataset = voc(tmp_path, write_files, ["person", "Person", "dog"])
    assert dataset.class_names == VOC_CLASSES
    assert [VOC_CLASSES[label - 1] for label in dataset.examples[0].labels] == [
        "person", "person", "dog",
    ]  # fmt: skip
    (oddity,) = dataset.oddities
    assert str(oddity) == "1 x class name in another case: 'Person' for 'person' in a.xml"


def test_classes_of_ones_own_are_kept_apart_which_is_said(tmp_path: Path, write_files: Any) -> None:
    dataset = voc(tmp_path, write_files, ["Person", "person", "gull"])
    assert dataset.class_names == ("Person", "gull", "person")
    assert [str(oddity) for oddity in dataset.oddities] == [
        "1 x classes whose names differ in case alone, kept apart: Person, person"
    ]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"ignore": 1}, "ignore"),
        ({"attributes": {"difficult": True, "occluded": False}}, "attributes.difficult"),
        ({"attributes": {"rotation": 12.5}}, "attributes.rotation"),
        ({"attributes": {"rotation": 0.0, "occluded": "false"}, "ignore": "0"}, None),
        ({"attributes": None}, None),
    ],
)
def test_flags_that_are_not_used_are_named(
    more: dict[str, Any], named: str | None, write_files: Any, read_all: Any
) -> None:
    box = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "gull"}],
        "annotations": [box | more],
    }
    read = read_all(write_files({"a.jpg": None, "boxes.json": content}))
    (dataset,) = read.values()
    said = [str(oddity) for oddity in dataset.oddities]
    if named is None:
        assert said == []
    else:
        (line,) = said
        assert "not used" in line
        assert line.endswith("annotation 7")
        assert f": {named} in " in line
