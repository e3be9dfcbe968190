"""The tags of drawn boxes: inside the image, readable, none over another or over an object."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.visualization.colours import PALETTE_SIZE, class_colour
from detection.visualization.draw import _whole_pixels
from detection.visualization.frames import Corners, lay_out_frames
from detection.visualization.image import Image
from detection.visualization.letters import MIN_SIZE
from detection.visualization.tags import (
    ALL_COVER,
    ONE_COVERS,
    Tag,
    draw_tag,
    lay_out_tags,
    letter_sizes,
    tag_extent,
)

Box = tuple[float, float, float, float]


def grey(height: int, width: int) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def lay_out(
    size: tuple[int, int], corners: list[Corners], captions: list[str], *, numbered: bool = False
) -> list[Tag | None]:
    return lay_out_tags(
        size, lay_out_frames(size, corners, width=None), captions, numbered=numbered
    )


def common(a: Corners, b: Corners) -> int:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def area(a: Corners) -> int:
    return (a[2] - a[0]) * (a[3] - a[1])


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
    frames = lay_out_frames(size, corners, width=None)
    for frame, tag in zip(frames, lay_out(size, corners, [caption] * 4), strict=True):
        assert tag is not None, frame
        x1, y1, x2, y2 = tag.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        # At its object: it touches the frame.
        left, top, right, bottom = frame.around
        assert x1 <= right
        assert x2 >= left
        assert y1 <= bottom
        assert y2 >= top


@pytest.mark.parametrize("size", [11, 18, 40])
def test_letters_lie_within_their_tag(size: int) -> None:
    caption = "(Ågjpqy) Ậ 漢 0.97|"
    width, height = tag_extent(caption, size)
    canvas = np.zeros((height + 20, width + 20, 3), np.uint8)
    draw_tag(canvas, Tag(caption, (10, 10, 10 + width, 10 + height), size), (60, 0, 0))
    inside = canvas[10:-10, 10:-10]
    assert (inside[0] == (60, 0, 0)).all()  # a margin above, below and beside
    assert (inside[-1] == (60, 0, 0)).all()
    assert (inside[:, [0, -1]] == (60, 0, 0)).all()
    assert (inside == 255).any()
    canvas[10:-10, 10:-10] = 0
    assert not canvas.any()


def test_letters_contrast_with_their_tag() -> None:
    for label in range(1, PALETTE_SIZE + 1):
        canvas = grey(30, 60)
        draw_tag(canvas, Tag("ring", (0, 0, *tag_extent("ring", 20)), 20), class_colour(label))
        luma = canvas[:20, :40] @ (0.114, 0.587, 0.299)
        assert luma.max() - luma.min() > 90, label


def test_letters_grow_with_the_image_and_the_object() -> None:
    sizes = [letter_sizes(size, (0, 0, size[1] // 2, size[0] // 2))[0] for size in
             ((240, 320), (600, 800), (1200, 1600), (6000, 9000))]  # fmt: skip
    assert sizes == sorted(sizes)
    assert sizes[3] > 4 * sizes[1]
    # An object of 30 pixels has no tag of a picture of 54 MP.
    assert letter_sizes((6000, 9000), (0, 0, 30, 30)) == [15, MIN_SIZE]


@settings(max_examples=40, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(*[st.floats(-20, 420)] * 4).map(
            lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
        ),
        max_size=25,
    ),
    size=st.sampled_from([(300, 400), (400, 250), (50, 400), (9, 7)]),
    numbered=st.booleans(),
)
def test_tags_hide_neither_one_another_nor_objects(
    boxes: list[Box], size: tuple[int, int], numbered: bool
) -> None:
    corners = _whole_pixels(torch.tensor(boxes).reshape(-1, 4), size)
    for x1, y1, x2, y2 in corners:
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]
    frames = lay_out_frames(size, corners, width=None)
    tags = lay_out(size, corners, [f"person {i}" for i in range(len(boxes))], numbered=numbered)
    shown = [tag for tag in tags if tag is not None]
    for tag in shown:
        assert 0 <= tag.box[0] < tag.box[2] <= size[1]
        assert 0 <= tag.box[1] < tag.box[3] <= size[0]
    for a, b in itertools.combinations(shown, 2):
        assert common(a.box, b.box) == 0
    for frame in frames:
        shares = [common(frame.around, tag.box) / area(frame.around) for tag in shown]
        assert max(shares, default=0) <= ONE_COVERS + 1e-9
        assert sum(shares) <= ALL_COVER + 1e-9
    numbers = [tag.number for tag in shown if tag.number is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbered or not numbers


def test_with_room_around_it_a_box_has_its_tag_on_its_upper_left_corner() -> None:
    """Whatever is elsewhere: from frame to frame of a video it stays there."""
    own: Corners = (200, 200, 280, 280)
    (alone,) = lay_out((480, 640), [own], ["dog 0.98"])
    assert alone is not None
    frame = lay_out_frames((480, 640), [own], width=None)[0].around
    assert (alone.box[0], alone.box[3]) == (frame[0], frame[1])
    elsewhere: list[Corners] = [(20, 20, 90, 90), (400, 100, 460, 220), (120, 380, 300, 460)]
    tags = lay_out((480, 640), [*elsewhere, own], ["cat 0.99"] * 3 + ["dog 0.98"])
    assert tags[-1] == alone


def test_two_objects_in_one_place_have_both_their_tags() -> None:
    corners = [(50, 50, 250, 200)] * 2
    first, second = lay_out((240, 320), corners, ["circle 0.9", "ring 0.8"])
    assert first is not None
    assert second is not None
    assert common(first.box, second.box) == 0
    (frame, _) = lay_out_frames((240, 320), corners, width=None)
    assert first.box[3] == frame.around[1]  # on the upper edge


def test_where_a_caption_has_no_room_its_number_may() -> None:
    # Three rows close to one another: between their columns is room for digits, not for names.
    corners = [(10 + 40 * n, y, 22 + 40 * n, y + 12) for y in (60, 87, 114) for n in range(8)]
    captions = ["potted plant 0.9"] * len(corners)
    names = [tag for tag in lay_out((160, 320), corners, captions) if tag is not None]
    every = lay_out((160, 320), corners, captions, numbered=True)
    assert len(names) < 12
    assert sum(tag is not None for tag in every) == 24
    assert any(tag is not None and tag.caption == "1" for tag in every)


def test_a_tag_that_would_hide_an_object_everywhere_is_left_out() -> None:
    corners = [(10 * x, 10 * y, 10 * x + 9, 10 * y + 9) for y in range(12) for x in range(16)]
    captions = ["cat 0.9"] * len(corners)
    assert set(lay_out((120, 160), corners, captions, numbered=True)) == {None}


def test_a_long_name_is_shortened_to_the_picture() -> None:
    (tag,) = lay_out((200, 120), [(10, 100, 60, 150)], ["a name that is longer than the picture"])
    assert tag is not None
    assert tag.caption.endswith("…")


@pytest.mark.skipif("DETECTION_DATA" not in os.environ, reason="needs photos: DETECTION_DATA")
def test_real_photos() -> None:
    """Crowds of real objects: most of their tags find a place, nearly all at least a number."""
    root = Path(os.environ["DETECTION_DATA"])
    found = [root, root.parent, *(folder for folder in root.iterdir() if folder.is_dir())]
    files = [f for f in (r / "annotations" / "instances_val.json" for r in found) if f.is_file()]
    if not files:
        pytest.skip(f"no annotations/instances_val.json under {root}")
    content = json.loads(files[0].read_text())
    names = shown = total = 0
    for image in content["images"][:40]:
        size = image["height"], image["width"]
        boxes = [a["bbox"] for a in content["annotations"] if a["image_id"] == image["id"]]
        xywh = torch.tensor(boxes).reshape(-1, 4)
        corners = _whole_pixels(torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1), size)
        tags = lay_out(size, corners, ["person 0.95"] * len(corners), numbered=True)
        names += sum(tag is not None and tag.number is None for tag in tags)
        shown, total = shown + sum(tag is not None for tag in tags), total + len(tags)
    assert names > 0.8 * total
    assert shown > 0.95 * total
