"""Drawn pictures: the input stays as it is, frames lie on their boxes, a class keeps its colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detection.structures import Detections, Target
from detection.visualization import draw
from detection.visualization.colours import class_colour
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.draw import draw_boxes, draw_detections, draw_target
from detection.visualization.image import Image
from detection.visualization.tags import lay_out_tags

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


def test_the_frame_lies_on_the_box() -> None:
    # sqrt(225 * 225) / 225 = 1: lines one pixel wide, and the box covers pixels 50 ... 149.
    image = grey(225, 225)
    result = draw_boxes(image, torch.tensor([[50.0, 60, 150, 160]]), labels=[1], captions=[""])
    colour = class_colour(1)
    for y, x in ((60, 100), (159, 100), (110, 50), (110, 149)):
        assert tuple(result[y, x].tolist()) == colour
    for y, x in ((61, 148), (158, 100), (110, 51), (110, 148)):
        # The dark line within (128 // 3), then nothing.
        assert tuple(result[y, x].tolist()) == (42, 42, 42)
    assert (result[63:157, 53:147] == 128).all()
    assert tuple(result[110, 49].tolist()) == (42, 42, 42)
    assert (result[170:] == 128).all()
    assert (result[:, 160:] == 128).all()


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
        assert tuple(result[199, 150].tolist()) == class_colour(3)


def test_no_tag_where_letters_could_not_be_read() -> None:
    assert lay_out_tags((24, 32), [(2, 2, 20, 20)], ["potted plant 0.98"]) == [None]
    image = grey(24, 32)
    result = draw_boxes(
        image, torch.tensor([[2.0, 2, 20, 20]]), labels=[1], captions=["potted plant 0.98"]
    )
    assert changed(image, result) == (1, 1, 21, 21)  # the frame and the dark line around it


def test_ground_truth_is_dashed_and_ignored_objects_are_in_brackets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Target(
        torch.tensor([[50.0, 60, 250, 200], [10.0, 10, 40, 40]]),
        torch.tensor([1, 2]),
        torch.tensor([False, True]),
    )
    result = draw_target(grey(), target, NAMES)
    line = (result[199, 50:250] == class_colour(1)).all(axis=1)
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
