"""Contact sheets: many pictures on one sheet, in rows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from detection.visualization.image import Image, check_image


def contact_sheet(images: Sequence[Image], *, columns: int, width: int) -> Image:
    """Images in rows of ``columns`` on one sheet ``width`` pixels wide, in their proportions.

    The images of a row have one height, chosen so that the row fills the sheet; none is made
    higher than the highest of its row was.

    Raises ValueError for no images, an image that is not uint8 [H, W, 3], less than one column,
    or a sheet too narrow for its columns.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image, got none")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if width < 16 * columns:
        raise ValueError(
            f"a sheet {width} pixels wide is too narrow for {columns} columns of at least 16 "
            "pixels: raise width or lower columns"
        )
    for image in images:
        check_image(image)
    gap = max(1, width // 200)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [_row_height(row, gap, width) for row in rows]
    if len(rows[-1]) < columns and len(rows) > 1:
        # What is left over is not blown up to fill its row.
        heights[-1] = min(heights[-1], round(float(np.mean(heights[:-1]))))
    strips = [_strip(row, h, gap, width) for row, h in zip(rows, heights, strict=True)]
    return np.concatenate([*strips, _paper(gap, width)])


def _row_height(row: Sequence[Image], gap: int, width: int) -> int:
    """At which the row just fills the sheet, at most that of its highest image."""
    proportions = sum(image.shape[1] / image.shape[0] for image in row)
    fitting = (width - gap * (len(row) + 1)) / proportions
    return max(1, int(min(fitting, max(image.shape[0] for image in row))))


def _strip(row: Sequence[Image], height: int, gap: int, width: int) -> Image:
    strip = _paper(gap + height, width)
    x = gap
    for image in row:
        # Not beyond the sheet: widths are rounded, and at least one pixel.
        across = max(1, min(round(image.shape[1] * height / image.shape[0]), width - x))
        shrinks = height < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        strip[gap:, x : x + across] = cv2.resize(image, (across, height), interpolation=method)
        x += across + gap
    return strip


def _paper(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)
