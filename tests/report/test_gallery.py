"""Which pictures are shown, how small they become, and what is drawn on them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data.dataset import DetectionDataset
from detection.evaluation.mistakes import Mistakes, find_mistakes
from detection.report import gallery as module
from detection.report.gallery import choose, gallery
from detection.report.small_copy import small_copy

Scene = tuple[DetectionDataset, list[dict[str, Any]]]


def mistakes_of(scene: Scene) -> Mistakes:
    return find_mistakes(scene[0].to_coco(), scene[1])


def decoded(jpeg: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(jpeg), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def missed(mistakes: Mistakes, image_id: int) -> int:
    ends = mistakes.matches[image_id].objects_at(mistakes.score)
    return sum(end == "missed" for end, _ in ends)


def test_the_worst_the_missed_and_the_random(scene: Callable[..., Scene]) -> None:
    mistakes = mistakes_of(scene(40, 3))
    chosen = choose(mistakes, 4)
    assert Counter(chosen.values()) == {"most mistakes": 4, "missed objects": 4, "random": 4}
    order = list(chosen)
    assert order[:4] == mistakes.worst_pictures(4)
    numbers = [missed(mistakes, image_id) for image_id in order[4:8]]
    assert numbers == sorted(numbers, reverse=True)
    left = [image_id for image_id in mistakes.matches if image_id not in order[:8]]
    assert numbers[-1] >= max(missed(mistakes, image_id) for image_id in left)
    assert choose(mistakes, 4) == chosen  # the random ones too
    assert len(choose(mistakes, 100)) == 40  # each once


def test_what_is_drawn(drawn_scene: Callable[..., Scene]) -> None:
    dataset, detections = drawn_scene(images=12, seed=4, crowd=0.1, difficult=0.1)
    mistakes = mistakes_of((dataset, detections))
    shown = gallery(dataset, mistakes)
    assert len(shown.pictures) == 12
    assert shown.notes() == []
    ids = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    examples = {example.path.name: example for example in dataset.examples}
    kinds = Counter[str]()
    for picture in shown.pictures:
        example = examples[picture.file_name]
        assert (picture.height, picture.width) == example.size
        assert decoded(picture.jpeg).shape == (200, 200, 3)
        assert picture.mistakes == mistakes.per_picture[example.image_id]
        truth = zip(example.labels.tolist(), example.annotated.tolist(), strict=True)
        assert [(dataset.class_names[label - 1], (x, y, x + w, y + h))
                for label, (x, y, w, h) in truth] == [
            (one.name, one.box) for one in picture.objects]  # fmt: skip
        flags = (example.crowd | example.difficult).tolist()
        assert flags == [one.verdict == "uncounted" for one in picture.objects]
        own = sorted(
            (d for d in detections
             if d["image_id"] == example.image_id and d["score"] >= mistakes.score / 3),
            key=lambda d: -d["score"],
        )  # fmt: skip
        for one, entry in zip(picture.detections, own, strict=True):
            x, y, w, h = entry["bbox"]
            assert (one.box, one.score) == ((x, y, x + w, y + h), entry["score"])
            assert ids[one.name] == entry["category_id"]
        wrong = [
            one for one in picture.detections
            if one.verdict not in ("right", "uncounted") and (one.score or 0) >= mistakes.score
        ]  # fmt: skip
        lost = [one for one in picture.objects if one.verdict == "missed"]
        assert len(wrong) + len(lost) == picture.mistakes
        for one in (*picture.objects, *picture.detections):
            kinds[one.verdict] += 1
            assert (one.other is not None) == (one.verdict == "confused")
            assert one.other != one.name
    assert kinds.keys() >= {"right", "found", "confused", "misplaced", "missed", "background"}


def test_crowded_pictures_are_cut(
    drawn_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, detections = drawn_scene(images=3, seed=4)
    sure = [{**detections[0], "image_id": 1, "score": 0.999} for _ in range(20)]
    unsure = [{**detections[0], "image_id": 1, "score": 0.9} for _ in range(20)]
    mistakes = mistakes_of((dataset, [*detections, *sure, *unsure]))
    assert mistakes.score < 0.9
    monkeypatch.setattr(module, "DETECTIONS", 10)
    monkeypatch.setattr(module, "MANY", 30)
    shown = gallery(dataset, mistakes)
    counts = {one.file_name: len(one.detections) for one in shown.pictures}
    assert counts["1.jpg"] == 30  # above the score more than ten
    assert shown.shortened == 1
    assert "1 pictures of the gallery have more than 30" in shown.notes()[0]


def test_where_nothing_is_right_all_are_shown(drawn_scene: Callable[..., Scene]) -> None:
    dataset, detections = drawn_scene(images=3, seed=4)
    low = {**detections[0], "bbox": [190.0, 190.0, 3.0, 3.0], "score": 0.01, "image_id": 1}
    shown = gallery(dataset, mistakes_of((dataset, [low])))
    (one,) = (found for picture in shown.pictures for found in picture.detections)
    assert (one.score, one.verdict) == (0.01, "background")


def test_a_copy_is_as_small_as_it_has_to_be() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    free = small_copy(noise, 10_000_000)
    assert decoded(free).shape == (480, 640, 3)
    tight = small_copy(noise, 60_000)
    assert len(tight) <= 60_000 < len(free)
    assert max(decoded(tight).shape) < 640
    assert decoded(small_copy(noise[:30, :40], 10_000_000)).shape == (30, 40, 3)  # never larger
    assert decoded(small_copy(np.zeros((1, 3000, 3), np.uint8), 10)).shape == (1, 160, 3)


def test_the_most_pictures_stay_within_the_bound() -> None:
    """Even noise, the worst that a JPEG can be given."""
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    number = 3 * module.MOST
    assert number * len(small_copy(noise, module.CHARACTERS // number)) <= module.CHARACTERS
