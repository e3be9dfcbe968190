"""Mistakes of scenes made by hand: boxes of 10 x 10 pixels on a picture of 100 x 100."""

from __future__ import annotations

from typing import Any

import pytest

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.mistakes import NONE_RIGHT, Mistakes, find_mistakes
from detection.evaluation.picture_matches import OperatingPoint
from detection.evaluation.weak_classes import weak_class_table, weak_classes

NAMES = ["cat", "dog", "owl"]


def box(image: int, name: str, x: float, *, width: float = 10.0, **further: Any) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": NAMES.index(name) + 1,
        "bbox": [x, 0.0, width, 10.0],
        **further,
    }


def scene(*objects: dict[str, Any], images: int = 2, side: int = 100) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": side, "height": side}
            for number in range(1, images + 1)
        ],
        "annotations": [{"id": n, **each} for n, each in enumerate(objects, start=1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES, start=1)],
    }


def of(mistakes: Mistakes, name: str) -> dict[str, Any]:
    """What is not 0, the counts of names as dicts."""
    return {key: value for key, value in vars(mistakes.per_class[name]).items() if value}


def test_each_kind_of_mistake_is_seen_as_what_it_is() -> None:
    truth = scene(
        box(1, "cat", 0), box(1, "cat", 20), box(1, "cat", 40), box(1, "cat", 60), box(2, "owl", 0)
    )
    found = [
        box(1, "cat", 0, score=0.9),  # right
        box(1, "cat", 1, score=0.8),  # IoU 9 / 11 with the same: found twice
        box(1, "dog", 20, score=0.9),  # on a cat
        box(1, "cat", 46, score=0.9),  # IoU 4 / 16 with the third: placed badly
        box(1, "cat", 85, score=0.9),  # on nothing; the fourth cat is missed
        box(2, "owl", 0, score=0.8),  # right
    ]
    mistakes = find_mistakes(truth, found)
    assert mistakes.score == 0.8  # both that are right
    assert of(mistakes, "cat") == {
        "objects": 4, "pictures": 1, "found": 1, "confused": {"dog": 1}, "misplaced": 1,
        "missed": 1, "duplicates": 1, "background": 1,
    }  # fmt: skip
    assert of(mistakes, "dog") == {"taken_for_it": {"cat": 1}}
    assert of(mistakes, "owl") == {"objects": 1, "pictures": 1, "found": 1}
    # Duplicate, confused cat, misplaced cat, background, missed cat.
    assert mistakes.per_picture == {1: 5, 2: 0}
    assert mistakes.worst_pictures(5) == [1]


def test_the_score_is_that_of_the_best_f1() -> None:
    truth = scene(box(1, "cat", 0), box(1, "cat", 20))
    found = [
        box(1, "cat", 0, score=0.9),  # F1 = 2 x 1 / (1 + 2) = 0.67
        box(1, "cat", 20, score=0.7),  # 2 x 2 / (2 + 2) = 1
        *(box(1, "cat", 50, score=0.6) for _ in range(3)),  # 2 x 2 / (5 + 2) = 0.57
    ]
    mistakes = find_mistakes(truth, found)
    assert mistakes.score == 0.7
    assert mistakes.any_right
    assert mistakes.per_picture == {1: 0, 2: 0}
    assert mistakes.at_score(0.6) == OperatingPoint(0.6, precision=2 / 5, recall=1.0)
    assert mistakes.at_score(0.8) == OperatingPoint(0.8, precision=1.0, recall=1 / 2)
    assert mistakes.at_score(0.95) is None
    assert find_mistakes(scene(), found).at_score(0.5) is None


def test_none_is_right_or_there_is_none() -> None:
    truth = scene(box(1, "cat", 0))
    assert find_mistakes(truth, []).per_picture == {1: 1, 2: 0}
    wrong = [box(1, "cat", 50, score=0.4), box(2, "dog", 0, score=0.6)]
    mistakes = find_mistakes(truth, wrong)
    assert mistakes.score == NONE_RIGHT
    assert not mistakes.any_right
    assert mistakes.per_picture == {1: 1, 2: 1}


@pytest.mark.parametrize("kind", ["iscrowd", "difficult"])
def test_crowds_and_difficult_objects_count_neither_way(kind: str) -> None:
    truth = scene(box(1, "cat", 0), box(2, "cat", 0, **{kind: 1}))
    found = [box(1, "cat", 0, score=0.9), box(2, "cat", 1, score=0.95)]
    mistakes = find_mistakes(truth, found)
    assert of(mistakes, "cat") == {"objects": 1, "pictures": 1, "found": 1}
    assert mistakes.per_picture == {1: 0, 2: 0}
    assert find_mistakes(truth, found[:1]).per_picture == {1: 0, 2: 0}


def test_the_worst_pictures_come_first_and_ids_decide_between_equals() -> None:
    objects = [box(1, "cat", 0), box(2, "cat", 0), box(3, "cat", 0), box(3, "cat", 20)]
    mistakes = find_mistakes(scene(*objects, images=4), [])
    assert mistakes.worst_pictures(5) == [3, 1, 2]
    assert mistakes.worst_pictures(2) == [3, 1]


def test_weak_classes_come_with_their_reasons() -> None:
    truth = scene(
        *(box(1, "cat", 20 * n) for n in range(4)),
        *(box(2, "dog", 20 * n) for n in range(4)),
    )
    found = [
        *(box(1, "dog", 20 * n, score=0.9) for n in range(3)),
        *(box(2, "dog", 20 * n, score=0.8) for n in range(4)),
        box(1, "cat", 60, score=0.8),
    ]
    mistakes = find_mistakes(truth, found)
    coco = evaluate_coco(truth, found)
    weak = weak_classes(mistakes, coco, 3, boxes={"cat": 30, "dog": 500, "owl": 500})
    assert [one.name for one in weak] == ["cat", "dog"]  # no owl is to be found
    cat, dog = weak
    assert (cat.objects, cat.found, cat.has_few, dog.has_few) == (4, 1, True, False)
    assert cat.reasons[:2] == ["few boxes to learn from (30)", "3 taken for dog"]
    assert dog.reasons[0] == "3 cat taken for it"
    assert cat.reasons[-1] == "measured on 4 alone: unsure"
    table = weak_class_table(weak).splitlines()
    assert table[0].split() == ["class", "AP", "objects", "found", "learnt", "from", "why"]
    assert table[2].split("  ")[-1].startswith("few boxes to learn from (30); 3 taken for dog")
    assert len(weak_classes(mistakes, coco, 1)) == 1
    assert "learnt" not in weak_class_table(weak_classes(mistakes, coco, 1))


def test_a_class_with_far_fewer_boxes_than_the_others_has_few() -> None:
    truth = scene(box(1, "cat", 0))
    mistakes, coco = find_mistakes(truth, []), evaluate_coco(truth, [])
    for dogs, has_few in ((500, False), (2000, True)):  # a quarter of the mean: 100, 225
        weak = weak_classes(mistakes, coco, 1, boxes={"cat": 200, "dog": dogs, "owl": 500})
        assert weak[0].has_few is has_few


def test_small_objects_that_are_found_less_are_a_reason() -> None:
    # 10 x 10 pixels are more than 1/300 of 100 x 100, and 3 x 10 are less.
    objects = [box(1, "cat", 20 * n, width=10 if n % 2 else 3) for n in range(4)]
    truth = scene(*objects)
    found = [{**objects[n], "score": 0.9} for n in (1, 3)]
    weak = weak_classes(find_mistakes(truth, found), evaluate_coco(truth, found), 1)
    assert weak[0].is_small
    assert "small: 0 of 2 small ones found, 2 of 2 others" in weak[0].reasons
    # All alike: size explains nothing.
    weak = weak_classes(find_mistakes(truth, []), evaluate_coco(truth, []), 1)
    assert not weak[0].is_small
