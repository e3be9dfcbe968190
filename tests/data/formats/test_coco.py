"""The COCO reader: ids with gaps, every flag carried through, every error with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.formats.flags import flag_of
from detection.data.report import report
from detection.evaluation.coco_ap import evaluate_coco

Write = Callable[..., Path]
Content = dict[str, Any]


def read(annotations: Path, *, invalid_boxes: Any = "error") -> DetectionDataset:
    images = annotations.parent.parent / "train"
    return read_coco(annotations=annotations, images=images, invalid_boxes=invalid_boxes)


def test_labels_follow_the_ids_in_ascending_order(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    dataset = read(write_coco(tmp_path, coco))
    assert dataset.category_ids == (3, 17, 90)
    assert dataset.class_names == ("car", "cat", "toothbrush")
    # Of image 42, in the order of the file: category 90, 3, 17.
    assert dataset.examples[0].labels.tolist() == [3, 1, 2]


def test_everything_about_an_image_is_carried_through(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    dataset = read(write_coco(tmp_path, coco))
    first, second, third = dataset.examples
    assert (first.image_id, first.size, first.path) == (42, (60, 80), tmp_path / "train" / "b.jpg")
    # (x, y, width, height) -> (x, y, x + width, y + height)
    assert first.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 80, 60], [5, 5, 10, 10]]
    assert second.boxes.tolist() == [[1.5, 2, 21.75, 12]]
    assert first.crowd.tolist() == [False, True, False]
    assert first.difficult.tolist() == [False, False, True]
    # The area of the annotation where there is one, else that of the box: 80 * 60, 5 * 5.
    assert first.areas.tolist() == [700, 4800, 25]
    assert third.image_id == 9
    assert [e.boxes.dtype for e in dataset.examples] == [np.float32] * 3
    assert [e.labels.dtype for e in dataset.examples] == [np.int64] * 3


def test_images_without_objects_stay(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    dataset = read(write_coco(tmp_path, coco))
    assert len(dataset) == 3
    assert dataset.examples[2].boxes.shape == (0, 4)
    assert dataset.examples[2].labels.shape == (0,)
    assert "3 images (1 without objects), 4 objects (1 crowd, 1 difficult), 3 classes" in (
        report(dataset)
    )


def test_boxes_to_measure_against_are_kept_as_annotated(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    # Neither rounded to float32 nor cut to the image (40 x 50), which the box for training is.
    coco["annotations"][1] |= {"bbox": [-0.7, 0.1, 41.3, 10.2], "area": 123.456789}
    example = read(write_coco(tmp_path, coco)).examples[1]
    assert example.annotated.tolist() == [[-0.7, 0.1, 41.3, 10.2]]
    assert example.areas.tolist() == [123.456789]
    assert example.boxes[0].tolist() == pytest.approx([0, 0.1, 40, 10.3])


def test_annotations_alone_can_be_read(tmp_path: Path, coco: Content) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    dataset = read_coco(annotations=path, images=None, invalid_boxes="error")
    assert len(dataset) == 3


def test_pictures_in_subfolders_are_found(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    coco["images"][0]["file_name"] = "holiday/b.jpg"
    dataset = read(write_coco(tmp_path, coco))
    assert dataset.examples[0].path == tmp_path / "train" / "holiday" / "b.jpg"


def test_a_missing_picture_is_named(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    path = write_coco(tmp_path, coco)
    (tmp_path / "train" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError) as error:
        read(path)
    message = str(error.value)
    assert f"{path}: 1 of 3 images are not in {tmp_path / 'train'}" in message
    assert "a.jpg" in message


def test_a_missing_folder_of_pictures_is_named(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    path = write_coco(tmp_path, coco, images="elsewhere")
    with pytest.raises(FileNotFoundError, match="train: no such folder of images"):
        read(path)


def test_missing_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instances\.json: no such annotation file"):
        read(tmp_path / "instances.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00\x01", "not valid JSON"),
        (b"[1, 2]", "no images, annotations, categories"),
        (b'{"images": [], "annotations": []}', "no categories"),
    ],
)
def test_a_file_in_another_format_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"wrong\.json: .*{message}"):
        read(path)


def changed(content: Content, kind: str, index: int, **entries: Any) -> Content:
    """A copy in which one entry has other values; None takes the value away."""
    content = copy.deepcopy(content)
    for key, value in entries.items():
        if value is None:
            del content[kind][index][key]
        else:
            content[kind][index][key] = value
    return content


@pytest.mark.parametrize(
    ("kind", "index", "entries", "messages"),
    [
        ("annotations", 1, {"category_id": 99}, ["annotation 2", "99", "[3, 17, 90]"]),
        ("annotations", 1, {"image_id": 1}, ["annotation 2", "image id 1"]),
        ("annotations", 1, {"bbox": [1, 2, 3]}, ["annotation 2", "[1, 2, 3]"]),
        ("annotations", 1, {"bbox": [1, 2, 3, "four"]}, ["annotation 2", "'four'"]),
        ("annotations", 1, {"bbox": 5}, ["annotation 2", "bbox 5"]),
        ("annotations", 1, {"bbox": None}, ["annotation 2", "no bbox, and no mask"]),
        ("annotations", 1, {"category_id": None}, ["annotations[1] (id 2)", "no category_id"]),
        ("annotations", 1, {"image_id": None}, ["annotations[1] (id 2)", "no image_id"]),
        # On the image 40 x 50, as (x1, y1, x2, y2), with the rule that is broken.
        ("annotations", 1, {"bbox": [30, 2, 20, 10]}, ["annotation 2", "a.jpg", "(30, 2, 50, 12)"]),
        ("annotations", 1, {"bbox": [30, 2, 20, 10]}, ["lies outside the 40x50 image"]),
        ("annotations", 1, {"bbox": [-5, 2, 20, 10]}, ["(-5, 2, 15, 12) lies outside the 40x50"]),
        ("annotations", 1, {"bbox": [5, 2, 0, 10]}, ["(5, 2, 5, 12) has x2 <= x1 or y2 <= y1"]),
        ("annotations", 1, {"bbox": [5, 2, 9, -3]}, ["(5, 2, 14, -1) has x2 <= x1 or y2 <= y1"]),
        ("annotations", 1, {"bbox": [5, 2, float("nan"), 3]}, ["annotation 2", "is not finite"]),
        ("annotations", 1, {"area": "twelve"}, ["annotation 2", "area 'twelve'"]),
        ("annotations", 1, {"area": float("nan")}, ["annotation 2", "area nan; expected a finite"]),
        ("annotations", 1, {"area": float("inf")}, ["annotation 2", "area inf; expected a finite"]),
        ("images", 1, {"id": 42}, ["two images have the same id"]),
        ("images", 1, {"width": "forty"}, ["a.jpg", "width 'forty'"]),
        ("images", 1, {"file_name": None}, ["images[1] (id 7)", "no file_name"]),
        ("categories", 1, {"id": 90}, ["two categories have the same id"]),
        ("categories", 1, {"name": "cat"}, ["two categories have the same name", "cat"]),
        ("categories", 1, {"name": None}, ["categories[1] (id 3)", "no name"]),
    ],
)
def test_every_error_names_file_entry_and_value(
    tmp_path: Path,
    coco: Content,
    write_coco: Write,
    kind: str,
    index: int,
    entries: dict[str, Any],
    messages: list[str],
) -> None:
    path = write_coco(tmp_path, coco)
    path.write_text(json.dumps(changed(coco, kind, index, **entries)))
    with pytest.raises(ValueError, match=r"instances_train\.json") as error:
        read(path)
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("entries", "messages"),
    [
        ({"height": None}, ["images[1] (id 7)", "no height"]),
        ({"width": 0}, ["a.jpg", "width 0"]),
        ({"width": -4}, ["a.jpg", "width -4"]),
    ],
)
def test_a_size_is_needed_where_the_pictures_are_not_read(
    tmp_path: Path, coco: Content, entries: dict[str, Any], messages: list[str]
) -> None:
    path = tmp_path / "instances_train.json"
    path.write_text(json.dumps(changed(coco, "images", 1, **entries)))
    with pytest.raises(ValueError, match=r"instances_train\.json") as error:
        read_coco(annotations=path, images=None, invalid_boxes="error")
    for message in messages:
        assert message in str(error.value)


def test_all_faults_of_a_file_are_said_at_once(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    coco["annotations"][0]["category_id"] = 99
    coco["annotations"][1]["bbox"] = "none"
    coco["annotations"][2]["image_id"] = 5
    with pytest.raises(ValueError, match="3 faults in the annotations") as error:
        read(write_coco(tmp_path, coco))
    for said in ("category_id 99", "bbox none", "image id 5"):
        assert said in str(error.value)


def test_all_invalid_boxes_are_said_at_once_up_to_ten(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    coco["annotations"] += [
        {"id": 100 + i, "image_id": 9, "category_id": 3, "bbox": [-20, 0, 5, 5]} for i in range(14)
    ]
    with pytest.raises(ValueError, match="14 invalid boxes") as error:
        read(write_coco(tmp_path, coco))
    assert "annotation 109" in str(error.value)
    assert "annotation 110" not in str(error.value)
    assert "and 4 more" in str(error.value)
    assert "invalid_boxes=repair" in str(error.value)


def test_repair_cuts_boxes_and_leaves_out_those_without_area(
    tmp_path: Path, coco: Content, write_coco: Write, caplog: pytest.LogCaptureFixture
) -> None:
    coco["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [30, 40, 20, 30], "iscrowd": 1},
        {"id": 2, "image_id": 7, "category_id": 17, "bbox": [100, 0, 20, 30]},
        {"id": 3, "image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4]},
        {"id": 4, "image_id": 7, "category_id": 90, "bbox": [1, float("nan"), 3, 4]},
        {"id": 5, "image_id": 7, "category_id": 90, "bbox": [9, 2, -3, 4]},
    ]
    dataset = read(write_coco(tmp_path, coco), invalid_boxes="repair")
    example = dataset.examples[1]
    # The image is 40 x 50: (30, 40, 50, 70) ends at its corner; the second box is beside it.
    learnt = example.keep(example.has_area)
    assert learnt.boxes.tolist() == [[30, 40, 40, 50], [1, 2, 4, 6]]
    assert learnt.labels.tolist() == [1, 3]
    assert learnt.crowd.tolist() == [True, False]
    assert len(learnt.areas) == len(learnt.difficult) == 2
    assert "4 invalid boxes" in caplog.text
    # What is a box, but not within the image, detections are measured against all the same.
    assert example.annotated.tolist() == [[30, 40, 20, 30], [100, 0, 20, 30], [1, 2, 3, 4]]


def test_repair_does_not_change_what_is_measured(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    # As in COCO's own annotations: a box without height, of an object that has a mask.
    coco["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [5, 5, 20, 30], "area": 600.0},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [9.65, 38.33, 1.03, 0.0], "area": 0.5},
    ]
    dataset = read(write_coco(tmp_path, coco), invalid_boxes="repair")
    assert dataset.examples[1].has_area.tolist() == [True, False]
    found = [{"image_id": 7, "category_id": 3, "bbox": [5, 5, 20, 30], "score": 0.9}]
    # One of two objects: the precision at 51 of the 101 values of recall.
    scores = evaluate_coco(dataset.to_coco(), found).as_dict()
    assert scores["AP"] == pytest.approx(51 / 101)


def test_a_box_that_sticks_out_by_rounding_is_cut_in_silence(
    tmp_path: Path, coco: Content, write_coco: Write, caplog: pytest.LogCaptureFixture
) -> None:
    coco["annotations"][1]["bbox"] = [-0.5, 0, 41, 50.9]  # the image is 40 x 50
    dataset = read(write_coco(tmp_path, coco))
    assert dataset.examples[1].boxes.tolist() == [[0, 0, 40, 50]]
    assert not caplog.text


def test_an_unknown_way_to_treat_invalid_boxes_is_refused(
    tmp_path: Path, coco: Content, write_coco: Write
) -> None:
    with pytest.raises(ValueError, match="clip, repair or error, got 'ignore'"):
        read(write_coco(tmp_path, coco), invalid_boxes="ignore")


def test_real_annotations_are_read_whole(data_folder: Path) -> None:
    root = data_folder / "coco20"
    dataset = read_coco(
        annotations=root / "annotations" / "instances_val.json",
        images=root / "val",
        invalid_boxes="error",
    )
    content = json.loads((root / "annotations" / "instances_val.json").read_text())
    assert len(dataset) == len(content["images"])
    assert sum(len(e.labels) for e in dataset.examples) == len(content["annotations"])
    assert list(dataset.category_ids) == sorted(c["id"] for c in content["categories"])


@pytest.mark.parametrize(
    ("meant", "values"),
    [(False, ("false", "False", "no", "0.0", "", None, 0)), (True, ("true", "1", "yes", 1))],
)
def test_a_flag_may_be_a_text(meant: bool, values: tuple[object, ...]) -> None:
    assert {flag_of(value) for value in values} == {meant}
