"""How each detection and each object of a picture ends; boxes of 10 x 10 pixels."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from detection.evaluation import picture_matches
from detection.evaluation.coco_arrays import detection_arrays, object_arrays
from detection.evaluation.picture_matches import (
    OperatingPoint,
    PictureMatches,
    best_f1,
    counted_detections,
    match_pictures,
)

NAMES = ["cat", "dog"]


def box(name: str, x: float, **further: Any) -> dict[str, Any]:
    box = [x, 0.0, 10.0, 10.0]
    return {"image_id": 7, "category_id": NAMES.index(name) + 1, "bbox": box, **further}


def matched(objects: list[dict[str, Any]], found: list[dict[str, Any]]) -> PictureMatches:
    truth = object_arrays(
        {
            "images": [{"id": 7}],
            "annotations": [{"id": n, **one} for n, one in enumerate(objects)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES, start=1)],
        }
    )
    (picture,) = match_pictures(truth, detection_arrays(found, truth))
    return picture


def test_each_end_of_a_detection_and_of_an_object() -> None:
    objects = [
        box("cat", 0), box("cat", 20), box("cat", 40), box("cat", 60), box("cat", 80, difficult=1),
        box("dog", 100),
    ]  # fmt: skip
    found = [
        box("cat", 0, score=0.95),
        box("cat", 1, score=0.9),  # 9 / 11
        box("dog", 20, score=0.85),
        box("cat", 46, score=0.8),  # 4 / 16 with the third
        box("dog", 67, score=0.75),  # 3 / 17 with the fourth
        box("cat", 80, score=0.7),
        box("dog", 81, score=0.65),  # on a difficult one of another class: on nothing that counts
        box("dog", 200, score=0.6),
    ]
    picture = matched(objects, found)
    assert list(zip(picture.verdicts.tolist(), picture.about.tolist(), strict=True)) == [
        ("right", 0), ("duplicate", 0), ("confused", 1), ("misplaced", 2), ("both", 3),
        ("uncounted", -1), ("background", -1), ("background", -1),
    ]  # fmt: skip
    assert list(picture.objects_at(0.0)) == [
        ("found", None), ("confused", 1), ("misplaced", None), ("missed", None),
        ("uncounted", None), ("missed", None),
    ]  # fmt: skip
    # From a score on that only the first two reach.
    assert [end for end, _ in picture.objects_at(0.9)] == [
        "found", "missed", "missed", "missed", "uncounted", "missed",
    ]  # fmt: skip


def test_a_picture_without_objects_or_without_detections() -> None:
    assert matched([], [box("cat", 0, score=0.5)]).verdicts.tolist() == ["background"]
    nothing = matched([box("cat", 0)], [])
    assert list(nothing.objects_at(0.0)) == [("missed", None)]
    assert best_f1(counted_detections([nothing]), 1) is None


def test_the_best_score_of_all_and_of_a_class() -> None:
    objects = [box("cat", 0), box("cat", 20), box("cat", 40), box("dog", 60), box("dog", 80)]
    found = [
        box("cat", 0, score=0.9), box("cat", 20, score=0.7), box("cat", 200, score=0.5),
        box("cat", 300, score=0.5), box("cat", 40, score=0.5),
        box("dog", 200, score=0.8), box("dog", 60, score=0.2),
    ]  # fmt: skip
    counted = counted_detections([matched(objects, found)])
    # Cats: 2 / 2 right of 3 -> 4 / 5; with those of equal scores 3 / 5 of 3 -> 6 / 8.
    assert best_f1(counted, 3, label=0) == OperatingPoint(0.7, 1.0, pytest.approx(2 / 3))
    # Dogs: 1 / 2 of 2.
    assert best_f1(counted, 2, label=1) == OperatingPoint(0.2, 0.5, 0.5)
    # All: at 0.7 2 / 3 of 5 -> 4 / 8, at 0.5 3 / 6 -> 6 / 11, at 0.2 4 / 7 -> 8 / 12.
    assert best_f1(counted, 5) == OperatingPoint(0.2, pytest.approx(4 / 7), 0.8)


def dense(number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """So many objects of two classes in one picture, in rows, and as many detections near them."""
    random = np.random.default_rng(0)
    objects, found = [], []
    for n in range(number):
        place = [6.0 * (n % 20), 8.0 * (n // 20), 10.0, 10.0]
        name = NAMES[n % 2]
        objects.append(box(name, 0, difficult=int(n % 7 == 0)) | {"bbox": place})
        moved = [place[0] + random.uniform(-5, 5), place[1] + random.uniform(-5, 5), 10.0, 10.0]
        found.append(box(NAMES[n % 3 % 2], 0, score=random.uniform()) | {"bbox": moved})
    return objects, found


@pytest.mark.parametrize("at_once", [1, 700, 4001])
def test_blocks_of_detections_change_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, found = dense(200)
    whole = matched(objects, found)
    assert len(set(whole.verdicts.tolist())) > 4
    monkeypatch.setattr(picture_matches, "PAIRS_AT_ONCE", at_once)
    blocks = matched(objects, found)
    assert blocks.verdicts.tolist() == whole.verdicts.tolist()
    assert blocks.about.tolist() == whole.about.tolist()


def test_memory_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    objects, found = dense(800)
    monkeypatch.setattr(picture_matches, "PAIRS_AT_ONCE", 10_000)
    tracemalloc.start()
    matched(objects, found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 640,000 pairs of 34 bytes would be 22 MB; 10,000 are 0.3 MB.
    assert peak < 5e6
