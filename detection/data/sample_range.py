"""What samples of more than 8 bits become in 8: one rule for files, arrays and tensors.

Integers: 0 ... 65535 becomes 0 ... 255, by the upper 8 bits; floats: 0 ... 1.  That is the same
for each picture of a data set, so none is brighter than it was.  Whose samples are in another
range (12 bits in 16, reflectance, counts) is refused, unless DETECTION_SAMPLE_RANGE says what is
black and what is white: nobody can tell a dark picture from one of fewer bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARIABLE = "DETECTION_SAMPLE_RANGE"
# Floats that round to a byte: denormalised ones miss 0 and 1 by their last digits.
ROUNDING = 0.5 / 255
# Of 256: 14 bits in 16 are 64 levels, and leave three quarters of them empty.
_FEW_LEVELS = 64
_BITS = (8, 10, 12, 14, 16)
_ROWS = 256  # that are converted at once: a large picture is not held as floats


def to_bytes(pixels: NDArray[Any], source: object) -> NDArray[np.uint8]:
    """Samples [H, W, ...] of any type -> uint8 of the same shape; uint8 as they are.

    ``source``: whose they are, for the message.
    Raises ValueError, which names the values and the remedy, for what the rule does not cover.
    """
    if pixels.dtype == np.uint8:
        return pixels
    is_float = np.issubdtype(pixels.dtype, np.floating)
    if not is_float and not np.issubdtype(pixels.dtype, np.integer):
        raise ValueError(f"{source} of {pixels.dtype}: pixels are whole numbers or floats")
    least, most = pixels.min().item(), pixels.max().item()
    whose = f"{source}: a picture" if isinstance(source, Path) else source
    kind = f"{whose} of {pixels.dtype} has values {least:.6g} ... {most:.6g}"
    if not np.isfinite((least, most)).all():  # a NaN is the least and the most of all
        raise ValueError(f"{kind}: no pixel may be NaN or infinite; put the value of black there")
    chosen = chosen_range()
    if chosen == (0, 65535) and not is_float:  # as without the variable
        return (pixels.clip(0, 65535) >> 8).astype(np.uint8)
    if chosen is not None:
        return _scaled(pixels, *chosen)
    remedy = f"or give black and white by the environment variable {VARIABLE}"
    if is_float:
        if not (least > -ROUNDING and most < 1 + ROUNDING):
            raise ValueError(
                f"{kind}: floats must be in [0, 1], not normalised; give uint8 for 0 ... 255, "
                f"{remedy}={min(least, 0):.6g},{most:.6g}"
            )
        return _scaled(pixels, 0, 1)
    if least < 0 or most > 65535:
        raise ValueError(
            f"{kind}: whole numbers must be in 0 ... 65535; scale them, {remedy}={least},{most}"
        )
    levels = (most >> 8) - (least >> 8) + 1
    if least != most and levels <= _FEW_LEVELS:
        white = next(limit for bits in _BITS if most <= (limit := (1 << bits) - 1))
        example = f"{least},{most}" if white == 65535 else f"0,{white}"
        raise ValueError(
            f"{kind}, which are {levels} of 256 grey levels once 0 ... 65535 are 8 bits: a dark "
            f"picture, or one of fewer bits; convert it to 8 bits, {remedy}={example} "
            "(0,65535 takes it as it is)"
        )
    return (pixels >> 8).astype(np.uint8)


def chosen_range() -> tuple[float, float] | None:
    """(black, white) as the environment has it; ValueError if it is no range."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    try:
        black, white = map(float, text.split(","))
    except ValueError:
        black = white = float("nan")
    if not black < white or not np.isfinite((black, white)).all():
        raise ValueError(
            f"{VARIABLE} must be two numbers, of black and of white, such as 0,4095; got {text!r}"
        )
    return black, white


def _scaled(pixels: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    result = np.empty(pixels.shape, dtype=np.uint8)
    for rows in _blocks(len(pixels)):
        part: NDArray[Any] = pixels[rows].astype(np.float64 if pixels.itemsize > 4 else np.float32)
        part = np.rint((part - black) * (255 / (white - black)))
        result[rows] = part.clip(0, 255)
    return result


def _blocks(height: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, height, _ROWS))
