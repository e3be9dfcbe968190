"""The VOC reader: 1-based boxes, difficult objects, parts, class names, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import available_splits, open_dataset
from detection.data.formats.voc import VOC_CLASSES, Voc, read_voc
from detection.data.report import report

Write = Callable[..., Path]
VocObject = Callable[..., str]


def read(
    root: Path, *, invalid_boxes: Any = "error", check_images: bool = True
) -> DetectionDataset:
    return read_voc(
        root=root, split="train", check_images=check_images, invalid_boxes=invalid_boxes
    )


def test_boxes_lose_their_one_based_edges(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    # Pixels 1 to 80 of 80 are the whole width: from edge 0 to edge 80.
    objects = voc_object("dog", (1, 1, 80, 60)) + voc_object("cat", (11, 21, 12, 22))
    (example,) = read(write_voc(tmp_path, {"one": objects})).examples
    assert example.boxes.tolist() == [[0, 0, 80, 60], [10, 20, 12, 22]]
    assert example.areas.tolist() == [4800, 4]
    assert example.annotated.tolist() == [[0, 0, 80, 60], [10, 20, 2, 2]]
    assert example.boxes.dtype == np.float32
    assert example.size == (60, 80)


def test_difficult_objects_stay_and_are_marked(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    objects = voc_object("dog", (1, 1, 8, 8), difficult=1) + voc_object("dog", (1, 1, 9, 9))
    (example,) = read(write_voc(tmp_path, {"one": objects})).examples
    assert example.difficult.tolist() == [True, False]
    assert example.crowd.tolist() == [False, False]


def test_parts_of_an_object_are_no_objects(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    head = (
        "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax>"
        "</bndbox></part>"
    )
    # The part stands before the person's own box, as it may.
    person = voc_object("person", (5, 6, 50, 60), extra=head)
    person = person.replace("<object>", f"<object>{head}", 1)
    (example,) = read(write_voc(tmp_path, {"one": person})).examples
    assert example.boxes.tolist() == [[4, 5, 50, 60]]
    assert example.labels.tolist() == [VOC_CLASSES.index("person") + 1]


def test_classes_are_vocs_twenty_where_no_other_occurs(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    dataset = read(write_voc(tmp_path, {"one": voc_object("tvmonitor", (1, 1, 8, 8))}))
    assert dataset.class_names == VOC_CLASSES
    assert len(set(VOC_CLASSES)) == 20
    assert dataset.category_ids == tuple(range(1, 21))
    assert dataset.examples[0].labels.tolist() == [20]


def test_other_classes_are_those_that_occur_sorted(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    objects = voc_object("zebra", (1, 1, 8, 8)) + voc_object("ant", (1, 1, 8, 8))
    dataset = read(write_voc(tmp_path, {"one": objects, "two": voc_object("dog", (1, 1, 8, 8))}))
    assert dataset.class_names == ("ant", "dog", "zebra")
    assert dataset.examples[0].labels.tolist() == [3, 1]


def test_images_without_objects_stay_and_ids_follow_the_list(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    root = write_voc(tmp_path, {"b": "", "a": voc_object("dog", (1, 1, 8, 8))})
    dataset = read(root)
    assert [e.image_id for e in dataset.examples] == [1, 2]
    assert [e.path.name for e in dataset.examples] == ["b.jpg", "a.jpg"]
    assert dataset.examples[0].boxes.shape == (0, 4)


def test_lists_of_one_class_have_a_second_column(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": "", "two": ""})
    (root / "ImageSets" / "Main" / "train.txt").write_text("one  1\n\ntwo -1\n")
    assert [e.path.stem for e in read(root).examples] == ["one", "two"]


def test_main_may_be_left_out_and_pictures_be_in_images(tmp_path: Path, write_voc: Write) -> None:
    write_voc(tmp_path, {"one": "", "two": ""}, split="train")
    write_voc(tmp_path, {"three": ""}, split="val")
    sets = tmp_path / "ImageSets"
    for path in [*(sets / "Main").iterdir()]:
        path.rename(sets / path.name)
    (sets / "Main").rmdir()
    (tmp_path / "JPEGImages").rename(tmp_path / "images")
    assert available_splits(tmp_path) == ["train", "val"]
    dataset = open_dataset(root=tmp_path, split="train", classes=None, invalid_boxes="error")
    assert [e.path.name for e in dataset.examples] == ["one.jpg", "two.jpg"]

    (tmp_path / "Annotations").rename(tmp_path / "label_2")  # KITTI has such lists, and no XML
    assert available_splits(tmp_path, formats=[Voc()]) == []


def test_pictures_may_have_any_known_suffix(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": ""})
    (root / "JPEGImages" / "one.jpg").rename(root / "JPEGImages" / "one.PNG")
    assert read(root).examples[0].path.name == "one.PNG"


def test_pictures_are_not_needed_for_saved_detections(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": ""})
    (root / "JPEGImages" / "one.jpg").unlink()
    assert len(read(root, check_images=False)) == 1
    with pytest.raises(FileNotFoundError, match="1 of 1 images are missing, the first is one"):
        read(root)


def test_a_missing_annotation_is_named(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": ""})
    (root / "Annotations" / "one.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"one\.xml: no annotation"):
        read(root)


def test_an_empty_image_set_is_refused(tmp_path: Path, write_voc: Write) -> None:
    with pytest.raises(ValueError, match=r"train\.txt: the image set is empty"):
        read(write_voc(tmp_path, {}))


def test_a_missing_image_set_names_those_there_are(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": ""}, split="val")
    with pytest.raises(FileNotFoundError, match=r"train\.txt: no such image set; there are val"):
        read(root)


@pytest.mark.parametrize(
    ("box", "messages"),
    [
        ((1, 1, 90, 20), ["one.xml, object 2 (cat)", "(0, 0, 90, 20) lies outside the 80x60"]),
        ((9, 1, 8, 20), ["object 2 (cat)", "(8, 0, 8, 20) has x2 <= x1"]),
        ((1, "two", 8, 20), ["one.xml, object 2", "bndbox/ymin", "'two'"]),
        ((1, "", 8, 20), ["one.xml, object 2", "bndbox/ymin"]),
        ((1, "nan", 8, 20), ["object 2 (cat)", "is not finite"]),
    ],
)
def test_errors_in_boxes_name_file_object_and_value(
    tmp_path: Path,
    write_voc: Write,
    voc_object: VocObject,
    box: tuple[Any, ...],
    messages: list[str],
) -> None:
    objects = voc_object("dog", (1, 1, 8, 8)) + voc_object("cat", box)
    root = write_voc(tmp_path, {"one": objects})
    with pytest.raises(ValueError, match="one") as error:
        read(root)
    for message in messages:
        assert message in str(error.value)


def test_a_box_from_zero_is_taken_as_rounding(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    # Tools that write 0-based boxes put -1 here, one pixel outside: cut.
    (example,) = read(write_voc(tmp_path, {"one": voc_object("dog", (0, 0, 8, 8))})).examples
    assert example.boxes.tolist() == [[0, 0, 8, 8]]


def test_repair_cuts_and_leaves_out_what_has_no_area(
    tmp_path: Path, write_voc: Write, voc_object: VocObject
) -> None:
    objects = (
        voc_object("dog", (71, 1, 99, 8), difficult=1)
        + voc_object("cat", (91, 1, 99, 8))
        + voc_object("cow", (1, 1, 8, 8))
    )
    dataset = read(write_voc(tmp_path, {"one": objects}), invalid_boxes="repair")
    (example,) = dataset.examples
    learnt = example.keep(example.has_area)
    assert learnt.boxes.tolist() == [[70, 0, 80, 8], [0, 0, 8, 8]]
    assert [dataset.class_names[label - 1] for label in learnt.labels] == ["dog", "cow"]
    assert learnt.difficult.tolist() == [True, False]
    # VOC's boxes include their last pixel; detections are measured against what is in the file.
    assert example.annotated[1].tolist() == [90, 0, 9, 8]


def write_xml(root: Path, text: str) -> Path:
    (root / "Annotations" / "one.xml").write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><size>", r"one\.xml: not valid XML"),
        ("", r"one\.xml: not valid XML"),
        (
            "<annotation><size><width>-8</width><height>60</height></size></annotation>",
            r"one\.xml: <size/width> must be 1 or more, got -8",
        ),
        (
            "<annotation><size><width>80</width><height>60</height></size><object/></annotation>",
            r"one\.xml, object 1 has no <name>",
        ),
    ],
)
def test_errors_in_the_xml_name_the_file(
    tmp_path: Path, write_voc: Write, text: str, message: str
) -> None:
    root = write_xml(write_voc(tmp_path, {"one": ""}), text)
    with pytest.raises(ValueError, match=message):
        read(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation/>", r"one\.xml: <size/height> must be a number, got None"),
        (
            "<annotation><size><width>0</width><height>60</height></size></annotation>",
            r"one\.xml: <size/width> must be 1 or more, got 0",
        ),
    ],
)
def test_a_size_is_needed_where_the_pictures_are_not_read(
    tmp_path: Path, write_voc: Write, text: str, message: str
) -> None:
    root = write_xml(write_voc(tmp_path, {"one": ""}), text)
    with pytest.raises(ValueError, match=message):
        read(root, check_images=False)
    (example,) = read(root).examples
    assert example.size == (60, 80)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',  # a billion laughs
        '<!ENTITY b SYSTEM "file:///etc/hostname">',
    ],
)
def test_entities_are_refused(tmp_path: Path, write_voc: Write, declaration: str) -> None:
    text = (
        f"<!DOCTYPE annotation [{declaration}]><annotation><size><width>80</width>"
        "<height>60</height></size><object><name>&b;</name></object></annotation>"
    )
    root = write_xml(write_voc(tmp_path, {"one": ""}), text)
    with pytest.raises(ValueError, match=r"one\.xml: refused"):
        read(root)


def test_real_annotations_are_read_whole(data_folder: Path) -> None:
    root = data_folder / "voc2012_sample" / "VOCdevkit" / "VOC2012"
    dataset = read(root)
    names = (root / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert len(dataset) == len(names)
    assert dataset.class_names == VOC_CLASSES
    assert any(e.difficult.any() for e in dataset.examples)


def test_a_test_set_without_annotations_takes_its_sizes_from_the_pictures(
    tmp_path: Path, write_voc: Write
) -> None:
    root = write_voc(tmp_path, {"one": "", "two": ""}, split="test")
    for name in ("one", "two"):
        (root / "Annotations" / f"{name}.xml").unlink()
    dataset = read_voc(root=root, split="test", check_images=True, invalid_boxes="error")
    assert not dataset.annotated
    assert [example.size for example in dataset.examples] == [(60, 80)] * 2
    assert "2 images (not annotated)" in report(dataset)


def test_a_test_set_with_annotations_must_have_them_all(tmp_path: Path, write_voc: Write) -> None:
    root = write_voc(tmp_path, {"one": "", "two": ""}, split="test")
    (root / "Annotations" / "two.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"two\.xml: no annotation"):
        read_voc(root=root, split="test", check_images=True, invalid_boxes="error")
