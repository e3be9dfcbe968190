"""Drawn pictures: the input stays as it is, frames lie on their boxes, a class keeps its colour."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from detection.structures import Detections, Target
from detection.visualization import draw
from detection.visualization.colours import class_colour
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.draw import draw_boxes, draw_detections, draw_target
from detection.visualization.image import Image
from detection.visualization.style import DrawingStyle

NAMES = ["circle", "cross", "potted plant"]


def grey(height: int = 240, width: int = 320) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    """Classes 1, 2, 3, 1, ..., with scores falling from 0.9 in steps of 0.1."""
    count = len(boxes)
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=0.9 - 0.1 * torch.arange(count, dtype=torch.float32),
        labels=torch.arange(count) % len(NAMES) + 1,
    )


def changed(before: Image, after: Image) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2) around all pixels that differ."""
    different = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_the_input_is_not_changed() -> None:
    image = grey()
    result = draw_detections(image, detections((20, 40, 200, 180)), NAMES, min_score=0.5)
    assert (image == 128).all()
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(image, result)
    assert not np.array_equal(image, result)


def draw_one(image: Image, box: tuple[float, float, float, float], caption: str = "") -> Image:
    names = [caption.partition(" ")[0]]
    return draw_boxes(image, torch.tensor([box]), labels=[1], names=names, captions=[caption])


def test_the_frame_stands_around_the_box() -> None:
    # sqrt(280 * 280) / 280 = 1: lines one pixel wide around pixels 50 ... 149 of columns.
    image = grey(280, 280)
    result = draw_one(image, (50, 60, 150, 160))
    assert (result[60:160, 50:150] == 128).all()  # the object itself
    for y, x in ((59, 100), (160, 100), (110, 49), (110, 150)):
        assert tuple(result[y, x].tolist()) == class_colour(1)
    for y, x in ((58, 100), (161, 100), (110, 48), (110, 151)):
        assert tuple(result[y, x].tolist()) == (42, 42, 42)  # the dark line outside: 128 // 3
    assert changed(image, result) == (48, 58, 152, 162)


def test_a_wide_line_has_dark_edges_on_both_sides() -> None:
    image = grey(1120, 1120)  # 1120 / 280 = 4 pixels, edges of 2
    result = draw_one(image, (300, 300, 700, 700))
    across = result[500, 290:302].tolist()
    colour, dark = list(class_colour(1)), [42] * 3
    assert across == [[128] * 3] * 2 + [dark] * 2 + [colour] * 4 + [dark] * 2 + [[128] * 3] * 2


def test_at_the_end_of_the_picture_the_line_moves_into_a_large_box() -> None:
    image = grey(560, 560)  # lines of 2 pixels
    result = draw_one(image, (0, 0, 560, 560))
    assert tuple(result[280, 0].tolist()) == tuple(result[559, 280].tolist()) == class_colour(1)
    assert (result[2:558, 2:558] == 128).all()
    # Beside a small one it is left out: there the end of the picture is the frame.
    result = draw_one(image, (0, 0, 20, 20))
    assert (result[:20, :20] == 128).all()
    assert tuple(result[10, 20].tolist()) == class_colour(1)


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (7, 7)])
def test_the_width_can_be_said(width: int, expected: int) -> None:
    style = DrawingStyle(width=width)
    box = torch.tensor([[100.0, 100, 200, 200]])
    result = draw_boxes(grey(), box, labels=[1], names=[""], captions=[""], style=style)
    assert int((result[150, :100] == class_colour(1)).all(axis=1).sum()) == expected
    with pytest.raises(ValueError, match="width must be from 1 to 100 pixels, or None"):
        DrawingStyle(width=0)


@pytest.mark.parametrize(
    ("labels", "scores", "captions"),
    [
        (True, True, ["circle 0.90"]),
        (True, False, ["circle"]),
        (False, True, ["0.90"]),
        (False, False, [""]),
    ],
)
def test_what_the_tags_say(
    monkeypatch: pytest.MonkeyPatch, labels: bool, scores: bool, captions: list[str]
) -> None:
    monkeypatch.setattr(draw, "draw_boxes", lambda *_, captions, **__: captions)
    style = DrawingStyle(labels=labels, scores=scores)
    found = detections((20, 40, 200, 180))
    assert draw.draw_detections(grey(), found, NAMES, min_score=0.5, style=style) == captions  # type: ignore[comparison-overlap]


def test_what_finds_no_room_stands_below_the_picture() -> None:
    image = grey(100, 160)
    boxes = [(10.0 * x, 10.0 * y, 10.0 * x + 8, 10.0 * y + 8) for y in range(10) for x in range(16)]
    found = Detections(
        torch.tensor(boxes),
        torch.linspace(0.9, 0.5, len(boxes)),
        torch.arange(len(boxes)) % len(NAMES) + 1,
    )
    result = draw_detections(image, found, NAMES, min_score=0)
    assert result.shape[1] == 160
    assert 100 < result.shape[0] <= 150
    for label in (1, 2, 3):
        assert (result[100:] == class_colour(label)).all(axis=2).any(), label
    style = DrawingStyle(legend=False)
    alone = draw_detections(image, found, NAMES, min_score=0, style=style)
    assert alone.shape == image.shape


def test_a_name_without_letters_is_a_number_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(draw, "is_covered", lambda name: name != "\U00013080")
    monkeypatch.setattr(draw, "_drawable", cache(draw._drawable.__wrapped__))
    assert [draw._names([2, 2, 1], ["cat", "\U00013080"]) for _ in range(2)] == [
        ["class 2", "class 2", "cat"]
    ] * 2
    (said,) = caplog.messages
    assert 'is drawn as "class 2": no font here has its letters' in said


def test_scores_below_the_minimum_are_left_out() -> None:
    found = detections((10, 100, 60, 200), (200, 100, 260, 200))  # scores 0.9 and 0.8
    image = grey()
    both = draw_detections(image, found, NAMES, min_score=0.8 - 1e-6)
    first = draw_detections(image, found, NAMES, min_score=0.85)
    assert changed(image, both)[2] >= 260
    assert changed(image, first)[2] <= 150
    assert np.array_equal(draw_detections(image, found, NAMES, min_score=0.95), image)


def test_nothing_to_draw() -> None:
    image = grey()
    assert np.array_equal(draw_detections(image, detections(), NAMES, min_score=0), image)
    target = Target(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    )
    assert np.array_equal(draw_target(image, target, NAMES), image)


def test_a_class_keeps_its_colour_whatever_else_is_drawn() -> None:
    box = torch.tensor([[100.0, 100, 200, 200]])
    alone = Detections(box, torch.tensor([0.9]), torch.tensor([3]))
    others = Detections(
        torch.cat((box, torch.tensor([[10.0, 10, 50, 50], [250.0, 10, 300, 60]]))),
        torch.tensor([0.9, 0.8, 0.7]),
        torch.tensor([3, 1, 2]),
    )
    for found in (alone, others):
        result = draw_detections(grey(), found, NAMES, min_score=0)
        assert tuple(result[200, 150].tolist()) == class_colour(3)


def test_no_tag_where_letters_could_not_be_read() -> None:
    image = grey(24, 32)
    result = draw_one(image, (4, 4, 20, 20), "potted plant 0.98")
    assert changed(image, result) == (2, 2, 22, 22)  # the frame and the dark line around it


def test_ground_truth_is_dashed_and_ignored_objects_are_in_brackets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Target(
        torch.tensor([[50.0, 60, 250, 200], [10.0, 10, 40, 40]]),
        torch.tensor([1, 2]),
        torch.tensor([False, True]),
    )
    result = draw_target(grey(), target, NAMES)
    line = (result[200, 50:250] == class_colour(1)).all(axis=1)
    assert 0.4 < line.mean() < 0.6

    monkeypatch.setattr(draw, "draw_boxes", lambda *_, captions, **__: captions)
    captions: object = draw.draw_target(grey(), target, NAMES)
    assert captions == ["circle", "(cross)"]


def test_a_label_without_a_name_is_an_error() -> None:
    found = Detections(torch.zeros(1, 4), torch.tensor([0.9]), torch.tensor([4]))
    with pytest.raises(ValueError, match=r"label 4 has no name: labels are 1 \.\.\. 3"):
        draw_detections(grey(), found, NAMES, min_score=0)
    background = Detections(torch.zeros(1, 4), torch.tensor([0.9]), torch.tensor([0]))
    with pytest.raises(ValueError, match="label 0 has no name"):
        draw_detections(grey(), background, NAMES, min_score=0)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_another_kind_of_image_is_an_error(image: Image) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 BGR \[height, width, 3\], got"):
        draw_detections(image, detections(), NAMES, min_score=0)
    with pytest.raises(ValueError, match="must be uint8 BGR"):
        contact_sheet([image], columns=1, width=100)
