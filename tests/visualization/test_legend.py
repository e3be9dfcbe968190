"""The strip below a drawn picture: each entry once, at most half the picture's height."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from detection.visualization.legend import Entry, counted, draw_legend, lay_out_legend

RED, GREEN = (0, 0, 255), (0, 255, 0)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_entries_stand_in_rows(count: int) -> None:
    entries: list[Entry] = [(f"{n}: cat 0.9", RED if n % 2 else GREEN) for n in range(count)]
    found = lay_out_legend((400, 300), entries)
    assert found is not None
    tags, height = found
    assert 0 < height <= 200
    assert [tag.caption for tag in tags] == [text for text, _ in entries]
    for tag in tags:
        assert 0 <= tag.box[0] < tag.box[2] <= 300
        assert 400 <= tag.box[1] < tag.box[3] <= 400 + height
    for a, b in itertools.combinations(tags, 2):
        assert a.box[2] <= b.box[0] or a.box[3] <= b.box[1]
    canvas = np.zeros((400 + height, 300, 3), np.uint8)
    draw_legend(canvas, 400, tags, entries)
    assert not canvas[:400].any()
    for tag, (_, colour) in zip(tags, entries, strict=True):
        assert tuple(canvas[tag.box[1], tag.box[0]].tolist()) == colour


def test_too_many_are_none() -> None:
    entries: list[Entry] = [(f"{n}: cat 0.9", RED) for n in range(500)]
    assert lay_out_legend((400, 300), entries) is None
    assert lay_out_legend((400, 9), entries[:1]) is None


def test_letters_become_small_before_entries_are_left_out() -> None:
    few = lay_out_legend((1000, 1400), [("1: cat", RED)])
    many = lay_out_legend((1000, 1400), [(f"{n}: cat 0.99", RED) for n in range(300)])
    assert few is not None
    assert many is not None
    assert many[0][0].size < few[0][0].size


def test_a_long_entry_is_shortened() -> None:
    found = lay_out_legend((400, 100), [("1: a very long name of a class 0.99", RED)])
    assert found is not None
    assert found[0][0].caption.endswith("…")


def test_boxes_without_a_tag_are_counted_by_class() -> None:
    entries = counted(["cat", "dog", "cat"], [RED, GREEN, RED])
    assert entries == [
        ("cat \N{MULTIPLICATION SIGN}2", RED),
        ("dog \N{MULTIPLICATION SIGN}1", GREEN),
    ]
