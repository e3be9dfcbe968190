"""Drawn pictures: the input stays as it is, colours are a class's own, tags stay inside."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.structures import Detections, Target
from detection.visualization import draw
from detection.visualization.draw import (
    class_colour,
    contact_sheet,
    draw_boxes,
    draw_detections,
    draw_target,
)

NAMES = ["circle", "cross", "potted plant"]


def grey(height: int = 240, width: int = 320) -> draw.Image:
    return np.full((height, width, 3), 128, np.uint8)


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    """Classes 1, 2, 3, 1, ..., with scores falling from 0.9 in steps of 0.1."""
    count = len(boxes)
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=0.9 - 0.1 * torch.arange(count, dtype=torch.float32),
        labels=torch.arange(count) % len(NAMES) + 1,
    )


def changed(before: draw.Image, after: draw.Image) -> tuple[int, int, int, int]:
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
        # The dark line within, then nothing.
        assert tuple(result[y, x].tolist()) == (64, 64, 64)
    assert (result[63:157, 53:147] == 128).all()
    assert tuple(result[110, 49].tolist()) == (64, 64, 64)
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


def test_colours_are_well_separated() -> None:
    """CIE Lab: a difference of 2 is just visible; 8 classes stay 50 apart."""

    def smallest_difference(count: int) -> float:
        bgr = np.array([[class_colour(label) for label in range(1, count + 1)]], np.uint8)
        lab = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[0]
        return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))

    assert smallest_difference(8) > 50
    assert smallest_difference(20) > 25
    assert smallest_difference(80) > 8


def test_labels_beyond_the_palette_have_a_colour() -> None:
    assert class_colour(1203) == class_colour(1203 % draw.PALETTE_SIZE)


@pytest.mark.parametrize(
    ("size", "caption"),
    [
        ((60, 100), "ox 0.98"),
        ((240, 320), "potted plant 0.98"),
        ((600, 400), "potted plant 0.98"),
        ((1080, 1920), "potted plant 0.98"),
    ],
)
def test_tags_stay_inside_at_the_borders(size: tuple[int, int], caption: str) -> None:
    height, width = size
    w, h = width // 6, height // 6
    corners = [
        (0, 0, w, h),
        (width - w, 0, width, h),
        (0, height - h, w, height),
        (width - w, height - h, width, height),
    ]
    tags = draw._lay_out_tags(size, corners, [caption] * 4)
    for corner, tag in zip(corners, tags, strict=True):
        assert tag is not None, corner
        x1, y1, x2, y2 = tag.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        # At its object: it touches the box.
        assert x1 <= corner[2]
        assert x2 >= corner[0]
        assert y1 <= corner[3]
        assert y2 >= corner[1]


def test_no_tag_where_letters_could_not_be_read() -> None:
    assert draw._lay_out_tags((24, 32), [(2, 2, 20, 20)], ["potted plant 0.98"]) == [None]
    image = grey(24, 32)
    result = draw_boxes(
        image, torch.tensor([[2.0, 2, 20, 20]]), labels=[1], captions=["potted plant 0.98"]
    )
    assert changed(image, result) == (1, 1, 21, 21)  # the frame and the dark line around it


@pytest.mark.parametrize("font_scale", [0.35, 0.6, 1.1])
def test_letters_lie_within_their_tag(font_scale: float) -> None:
    caption = "(Ågjpqy) 0.97|" if cv2.__version__ >= "5" else "(Agjpqy) 0.97|"
    (width, height), baseline = cv2.getTextSize(caption, draw.FONT, font_scale, 1)
    padding = draw._padding(font_scale)
    box = (0, 0, width + 2 * padding, height + baseline + 2 * padding)
    canvas = grey(box[3], box[2])
    draw._draw_tag(canvas, draw._Tag(caption, box, font_scale), (0, 0, 0))
    letters = canvas.max(axis=2) > 60
    assert letters.any()
    rim = letters.copy()
    rim[1:-1, 1:-1] = False
    assert not rim.any()


def test_letters_contrast_with_their_tag() -> None:
    for label in range(1, draw.PALETTE_SIZE + 1):
        canvas = grey(30, 60)
        draw._draw_tag(canvas, draw._Tag("ring", (0, 0, 60, 30), 0.6), class_colour(label))
        luma = canvas @ (0.114, 0.587, 0.299)
        assert luma.max() - luma.min() > 90, label


def test_letters_grow_with_the_image() -> None:
    heights = []
    for size in ((240, 320), (600, 800), (1200, 1600)):
        extent, _ = draw._tag_extent("ring 0.90", size)
        assert extent is not None
        heights.append(extent[1])
    assert heights == sorted(heights)
    assert heights[2] > 1.8 * heights[0]


def overlap_of_smaller(a: draw._Tag, b: draw._Tag) -> float:
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    areas = [(t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for t in (a, b)]
    return max(width, 0) * max(height, 0) / min(areas)


@settings(max_examples=40, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(*[st.floats(-20, 420)] * 4).map(
            lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
        ),
        max_size=25,
    ),
    size=st.sampled_from([(300, 400), (400, 250), (50, 400), (9, 7)]),
)
def test_tags_never_hide_one_another(
    boxes: list[tuple[float, float, float, float]], size: tuple[int, int]
) -> None:
    corners = draw._whole_pixels(torch.tensor(boxes).reshape(-1, 4), size)
    for x1, y1, x2, y2 in corners:
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]
    tags = draw._lay_out_tags(size, corners, [f"person {i}" for i in range(len(boxes))])
    shown = [tag for tag in tags if tag is not None]
    for tag in shown:
        assert 0 <= tag.box[0] < tag.box[2] <= size[1]
        assert 0 <= tag.box[1] < tag.box[3] <= size[0]
    for a, b in itertools.combinations(shown, 2):
        assert overlap_of_smaller(a, b) <= draw.MAX_TAG_OVERLAP + 1e-9
    if boxes and size[1] > 100:
        assert tags[0] is not None  # the most important one always has its tag


def test_two_objects_in_one_place_have_both_their_tags() -> None:
    corners = [(50, 50, 250, 200)] * 2
    first, second = draw._lay_out_tags((240, 320), corners, ["circle 0.9", "ring 0.8"])
    assert first is not None
    assert second is not None
    assert overlap_of_smaller(first, second) == 0
    assert first.box[3] == 50  # on the upper edge


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
def test_another_kind_of_image_is_an_error(image: draw.Image) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 BGR \[height, width, 3\], got"):
        draw_detections(image, detections(), NAMES, min_score=0)
    with pytest.raises(ValueError, match="must be uint8 BGR"):
        contact_sheet([image], columns=1, width=100)


def solid(height: int, width: int, value: int) -> draw.Image:
    return np.full((height, width, 3), value, np.uint8)


def test_contact_sheet_fills_its_rows() -> None:
    # The gap is 400 // 200 = 2; 400 - 3 * 2 = 394 pixels for widths of 2 and 1 heights: 131.
    sheet = contact_sheet([solid(200, 400, 10), solid(300, 300, 20)], columns=2, width=400)
    assert sheet.shape == (2 + 131 + 2, 400, 3)
    assert (sheet[2:-2, 2:264] == 10).all()  # 131 * 2 = 262 wide
    assert (sheet[2:-2, 266:397] == 20).all()
    assert (sheet[:2] == 255).all()
    assert (sheet[:, 264:266] == 255).all()


def test_contact_sheet_shows_every_image_once() -> None:
    images = [solid(100 + 10 * i, 150 - 10 * i, 20 * i) for i in range(7)]
    sheet = contact_sheet(images, columns=3, width=300)
    assert sheet.shape[1] == 300
    assert sheet.dtype == np.uint8
    for i in range(7):
        assert (sheet == 20 * i).all(axis=2).sum() > 40 * 40, i
    # The last one, alone in its row, is no higher than the others.
    rows = np.flatnonzero((sheet == 120).all(axis=2).any(axis=1))
    assert len(rows) <= 110


def test_contact_sheet_does_not_enlarge_small_images() -> None:
    sheet = contact_sheet([solid(20, 30, 0), solid(20, 30, 0)], columns=2, width=600)
    assert (sheet == 0).all(axis=2).sum() == 2 * 20 * 30


@pytest.mark.parametrize(
    ("count", "columns", "width", "message"),
    [
        (0, 2, 300, "at least one image"),
        (2, 0, 300, "columns must be at least 1, got 0"),
        (2, 10, 100, "100 pixels wide is too narrow for 10 columns"),
    ],
)
def test_contact_sheet_errors(count: int, columns: int, width: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet([grey()] * count, columns=columns, width=width)


@pytest.mark.skipif("DETECTION_DATA" not in os.environ, reason="needs photos: DETECTION_DATA")
def test_real_photos() -> None:
    """Crowds of real objects: their tags stay inside and most of them find a place."""
    root = Path(os.environ["DETECTION_DATA"])
    found = [root, root.parent, *(folder for folder in root.iterdir() if folder.is_dir())]
    files = [f for f in (r / "annotations" / "instances_val.json" for r in found) if f.is_file()]
    if not files:
        pytest.skip(f"no annotations/instances_val.json under {root}")
    content = json.loads(files[0].read_text())
    shown = total = 0
    for image in content["images"][:40]:
        size = image["height"], image["width"]
        boxes = [a["bbox"] for a in content["annotations"] if a["image_id"] == image["id"]]
        xywh = torch.tensor(boxes).reshape(-1, 4)
        corners = draw._whole_pixels(
            torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1), size
        )
        tags = draw._lay_out_tags(size, corners, ["person 0.95"] * len(corners))
        shown, total = shown + sum(tag is not None for tag in tags), total + len(tags)
    assert shown > 0.9 * total
