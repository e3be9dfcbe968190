"""Names first: classes are chosen and matched by name, and nothing is shifted or lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.data.findings import Oddity
from detection.data.formats.coco import read_coco
from detection.data.report import report, splits_report


def example(image_id: int, labels: list[int]) -> Example:
    """Object number i is the box (i, 0, i + 10, 20)."""
    count = len(labels)
    boxes = np.array([[i, 0, i + 10, 20] for i in range(count)], dtype=np.float32)
    return Example(
        image_id=image_id,
        path=Path(f"{image_id}.jpg"),
        size=(100, 200),
        boxes=boxes.reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        crowd=np.arange(count) == 1,
        difficult=np.arange(count) == 2,
        annotated=np.array([[i + 0.1, 0, 10, 20] for i in range(count)]).reshape(-1, 4),
        areas=np.arange(count, dtype=np.float64) + 50,
    )


@pytest.fixture
def dataset() -> DetectionDataset:
    """ant 3, bee 5, cat 8; images with objects of all, of one, and of none."""
    examples = [example(10, [1, 2, 3, 2]), example(11, [3]), example(12, [])]
    return DetectionDataset(("ant", "bee", "cat"), (3, 5, 8), examples, Path("set.json"))


def names_of(dataset: DetectionDataset) -> list[list[str]]:
    return [[dataset.class_names[label - 1] for label in e.labels] for e in dataset.examples]


def test_chosen_classes_get_labels_in_the_order_they_are_given(dataset: DetectionDataset) -> None:
    chosen = dataset.select_classes(["cat", "ant"])
    assert chosen.class_names == ("cat", "ant")
    assert chosen.category_ids == (8, 3)
    assert [e.labels.tolist() for e in chosen.examples] == [[2, 1], [1], []]


def test_everything_about_a_chosen_object_comes_with_it(dataset: DetectionDataset) -> None:
    first = dataset.select_classes(["bee", "cat"]).examples[0]
    # The objects 1, 2 and 3 of the image are left.
    assert first.boxes[:, 0].tolist() == [1, 2, 3]
    assert first.crowd.tolist() == [True, False, False]
    assert first.difficult.tolist() == [False, True, False]
    assert first.areas.tolist() == [51, 52, 53]
    assert first.annotated[:, 0].tolist() == [1.1, 2.1, 3.1]


def test_images_that_lose_all_objects_stay(dataset: DetectionDataset) -> None:
    chosen = dataset.select_classes(["bee"])
    assert [e.image_id for e in chosen.examples] == [10, 11, 12]
    assert [len(e.labels) for e in chosen.examples] == [2, 0, 0]


def test_choosing_leaves_the_original_as_it_was(dataset: DetectionDataset) -> None:
    dataset.select_classes(["cat"])
    assert names_of(dataset) == [["ant", "bee", "cat", "bee"], ["cat"], []]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dog", "ant", "emu"], "no class 'dog', 'emu' in this data set; it has ant, bee, cat"),
        (["ant", "ant"], r"named once each, got \['ant', 'ant'\]"),
        ([], r"named once each, got \[\]"),
    ],
)
def test_a_wrong_list_of_classes_is_refused(
    dataset: DetectionDataset, names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataset.select_classes(names)


def test_another_order_of_names_moves_the_labels_with_them(dataset: DetectionDataset) -> None:
    renamed = dataset.with_class_names(["cat", "bee", "ant"])
    assert renamed.class_names == ("cat", "bee", "ant")
    assert renamed.category_ids == (8, 5, 3)
    assert names_of(renamed) == names_of(dataset)


def test_classes_that_only_the_model_knows_get_ids_of_their_own(dataset: DetectionDataset) -> None:
    renamed = dataset.with_class_names(["dog", "cat", "bee", "ant", "emu"])
    assert names_of(renamed) == names_of(dataset)
    assert renamed.category_ids[1:4] == (8, 5, 3)
    assert len(set(renamed.category_ids)) == 5


def test_objects_of_a_class_the_model_does_not_know_are_an_error(dataset: DetectionDataset) -> None:
    with pytest.raises(ValueError, match=r"set\.json: objects of bee, which") as error:
        dataset.with_class_names(["ant", "cat"])
    assert "data.classes=[ant,cat]" in str(error.value)


def test_a_class_without_objects_may_be_unknown_to_the_model(dataset: DetectionDataset) -> None:
    only_cats = DetectionDataset(("ant", "cat"), (3, 8), [example(1, [2])], Path("x"))
    assert names_of(only_cats.with_class_names(["cat"])) == [["cat"]]


def test_nothing_in_common_is_an_error() -> None:
    empty = DetectionDataset(("ant",), (3,), [example(1, [])], Path("x"))
    with pytest.raises(ValueError, match="no class in common"):
        empty.with_class_names(["dog"])


def test_cocos_format_and_back_is_the_same_data_set(
    dataset: DetectionDataset, tmp_path: Path
) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(dataset.to_coco()))
    again = read_coco(annotations=path, images=None, invalid_boxes="error")
    assert again.class_names == dataset.class_names
    assert again.category_ids == dataset.category_ids
    for a, b in zip(again.examples, dataset.examples, strict=True):
        assert (a.image_id, a.size, a.path.name) == (b.image_id, b.size, b.path.name)
        for entry in ("annotated", "labels", "crowd", "difficult", "areas"):
            assert np.array_equal(getattr(a, entry), getattr(b, entry)), entry
        np.testing.assert_allclose(a.boxes[:, 0], b.boxes[:, 0] + 0.1, rtol=1e-6)


def test_cocos_format_by_hand(dataset: DetectionDataset) -> None:
    content = dataset.to_coco()
    assert content["categories"][1] == {"id": 5, "name": "bee"}
    assert content["images"][0] == {"id": 10, "file_name": "10.jpg", "height": 100, "width": 200}
    assert content["annotations"][1] == {
        "id": 2,
        "image_id": 10,
        "category_id": 5,
        "bbox": [1.1, 0, 10, 20],
        "area": 51,
        "iscrowd": 1,
        "difficult": 0,
    }


def test_the_report_counts_and_shows_the_mapping(dataset: DetectionDataset) -> None:
    text = report(dataset)
    assert "3 images (1 without objects), 5 objects (1 crowd, 1 difficult), 3 classes" in text
    rows = [line.split() for line in text.splitlines()[1:]]
    assert rows == [
        ["label", "id", "class", "objects", "images"],
        ["1", "3", "ant", "1", "1"],
        ["2", "5", "bee", "2", "1"],
        ["3", "8", "cat", "2", "2"],
    ]


def test_two_splits_have_one_table_and_what_is_odd_in_both_is_said_once(
    dataset: DetectionDataset,
) -> None:
    odd = replace(dataset, oddities=(Oddity("strange thing", 2, "here"),))
    val = replace(odd, examples=dataset.examples[:1], source=Path("val.json"))
    lines = splits_report({"train": odd, "val": val}).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["set.json", "val.json"]
    assert lines[2].split() == [
        "label",
        "id",
        "class",
        "train",
        "objects",
        "train",
        "images",
        "val",
        "objects",
        "val",
        "images",
    ]
    assert [line.split() for line in lines[3:6]] == [
        ["1", "3", "ant", "1", "1", "1", "1"],
        ["2", "5", "bee", "2", "1", "2", "1"],
        ["3", "8", "cat", "2", "2", "1", "1"],
    ]
    assert lines[6:] == ["  2 x strange thing: here"]


def test_images_without_objects_or_with_crowds_alone_can_be_left_out() -> None:
    crowd = replace(example(3, [1]), crowd=np.array([True]))
    both = replace(example(4, [1, 2]), crowd=np.array([True, False]))
    examples = [example(1, [2]), example(2, []), crowd, both]
    whole = DetectionDataset(("a", "b"), (1, 2), examples, Path("somewhere"))
    assert [e.image_id for e in whole.without_empty().examples] == [1, 4]
    assert len(whole) == 4
