"""Contact sheets: every image once, in rows that fill the sheet."""

from __future__ import annotations

import numpy as np
import pytest

from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.image import Image


def solid(height: int, width: int, value: int) -> Image:
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
        contact_sheet([solid(240, 320, 128)] * count, columns=columns, width=width)
