"""The tags of drawn boxes: they stay inside the image, can be read, and hide none of another."""

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

from detection.visualization.colours import PALETTE_SIZE, class_colour
from detection.visualization.draw import _whole_pixels
from detection.visualization.image import Image
from detection.visualization.tags import (
    FONT,
    MAX_TAG_OVERLAP,
    Tag,
    _padding,
    _tag_extent,
    draw_tag,
    lay_out_tags,
)


def grey(height: int, width: int) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


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
    tags = lay_out_tags(size, corners, [caption] * 4)
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


@pytest.mark.parametrize("font_scale", [0.35, 0.6, 1.1])
def test_letters_lie_within_their_tag(font_scale: float) -> None:
    caption = "(Ågjpqy) 0.97|" if cv2.__version__ >= "5" else "(Agjpqy) 0.97|"
    (width, height), baseline = cv2.getTextSize(caption, FONT, font_scale, 1)
    padding = _padding(font_scale)
    box = (0, 0, width + 2 * padding, height + baseline + 2 * padding)
    canvas = grey(box[3], box[2])
    draw_tag(canvas, Tag(caption, box, font_scale), (0, 0, 0))
    letters = canvas.max(axis=2) > 60
    assert letters.any()
    rim = letters.copy()
    rim[1:-1, 1:-1] = False
    assert not rim.any()


def test_letters_contrast_with_their_tag() -> None:
    for label in range(1, PALETTE_SIZE + 1):
        canvas = grey(30, 60)
        draw_tag(canvas, Tag("ring", (0, 0, 60, 30), 0.6), class_colour(label))
        luma = canvas @ (0.114, 0.587, 0.299)
        assert luma.max() - luma.min() > 90, label


def test_letters_grow_with_the_image() -> None:
    heights = []
    for size in ((240, 320), (600, 800), (1200, 1600)):
        extent, _ = _tag_extent("ring 0.90", size)
        assert extent is not None
        heights.append(extent[1])
    assert heights == sorted(heights)
    assert heights[2] > 1.8 * heights[0]


def overlap_of_smaller(a: Tag, b: Tag) -> float:
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
    corners = _whole_pixels(torch.tensor(boxes).reshape(-1, 4), size)
    for x1, y1, x2, y2 in corners:
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]
    tags = lay_out_tags(size, corners, [f"person {i}" for i in range(len(boxes))])
    shown = [tag for tag in tags if tag is not None]
    for tag in shown:
        assert 0 <= tag.box[0] < tag.box[2] <= size[1]
        assert 0 <= tag.box[1] < tag.box[3] <= size[0]
    for a, b in itertools.combinations(shown, 2):
        assert overlap_of_smaller(a, b) <= MAX_TAG_OVERLAP + 1e-9
    if boxes and size[1] > 100:
        assert tags[0] is not None  # the most important one always has its tag


def test_two_objects_in_one_place_have_both_their_tags() -> None:
    corners = [(50, 50, 250, 200)] * 2
    first, second = lay_out_tags((240, 320), corners, ["circle 0.9", "ring 0.8"])
    assert first is not None
    assert second is not None
    assert overlap_of_smaller(first, second) == 0
    assert first.box[3] == 50  # on the upper edge


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
        corners = _whole_pixels(torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1), size)
        tags = lay_out_tags(size, corners, ["person 0.95"] * len(corners))
        shown, total = shown + sum(tag is not None for tag in tags), total + len(tags)
    assert shown > 0.9 * total


def test_a_tag_goes_where_it_hides_no_small_object() -> None:
    # A row of small objects: on the upper edge of the second row tags would lie on the first one.
    corners = [(20 + 100 * n, y, 40 + 100 * n, y + 14) for y in (60, 80) for n in range(5)]
    tags = lay_out_tags((480, 640), corners, ["cat 0.9"] * len(corners))
    assert all(tag is not None for tag in tags)
    for tag in tags:
        assert tag is not None
        for x1, y1, x2, y2 in corners:
            width = min(x2, tag.box[2]) - max(x1, tag.box[0])
            height = min(y2, tag.box[3]) - max(y1, tag.box[1])
            assert max(width, 0) * max(height, 0) <= 0.25 * (x2 - x1) * (y2 - y1)


def test_a_tag_that_would_hide_an_object_everywhere_is_left_out() -> None:
    corners = [(10 * x, 10 * y, 10 * x + 9, 10 * y + 9) for y in range(24) for x in range(32)]
    assert set(lay_out_tags((240, 320), corners, ["cat 0.9"] * len(corners))) == {None}
