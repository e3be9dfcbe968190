"""The head of a picture: its size, and how it is turned, before memory is taken for its pixels.

A file of 121 kB may declare 32,000 x 32,000 pixels, which are 3 GB.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image

from detection.data.image_signature import true_format
from detection.data.tiff_tags import TiffTags, read_tags

# A scene of a satellite has 20,000 x 20,000.
MOST_PIXELS = 500_000_000
VARIABLE = "DETECTION_MAX_PIXELS"
_ORIENTATION = 0x0112  # the EXIF tag; the values 5 ... 8 are turned by 90 degrees
_START = 1024  # bytes that say what a file is


@dataclass(frozen=True)
class Head:
    """``width`` and ``height`` as stored; ``sideways``: EXIF turns them by 90 degrees."""

    width: int
    height: int
    sideways: bool
    tiff: TiffTags | None = None


def read_head(path: Path) -> Head | None:
    """None for a file whose head is not understood.

    Raises OSError, and ValueError for more pixels than are taken.
    """
    with path.open("rb") as file:
        if (tags := read_tags(file)) is not None:  # Pillow turns its size, and refuses some
            check_pixels(tags.width, tags.height, path)
            return Head(tags.width, tags.height, tags.orientation >= 5, tags)
        file.seek(0)
        try:
            with _open(file) as image:
                width, height = image.size
                check_pixels(width, height, path)  # before the EXIF of a PNG: PIL decodes for it
                return Head(width, height, image.getexif().get(_ORIENTATION, 1) >= 5)
        except TooManyPixels:
            raise
        except Exception:  # a damaged head may come out as anything
            return None


def check_head(data: bytes, path: Path) -> None:
    """Raises ValueError if the bytes of a picture declare more pixels than are taken."""
    declared = declared_size(data)
    if declared is not None:  # otherwise the decoder names what is wrong
        check_pixels(*declared, path)


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as stored that the bytes of a picture declare; None: not understood."""
    if (tags := read_tags(BytesIO(data))) is not None:
        return tags.width, tags.height
    try:
        with _open(BytesIO(data)) as image:
            return image.size
    except Exception:  # a damaged head may come out as anything
        return None


class TooManyPixels(ValueError):
    """A picture of more pixels than are taken."""


def check_pixels(width: int, height: int, path: Path) -> None:
    """Raises ValueError for a picture of more pixels than are taken."""
    most = most_pixels()
    if width * height > most:
        raise TooManyPixels(
            f"{path}: {width} x {height} are {width * height:,} pixels, at most {most:,} are "
            f"taken: cut it into parts, or set the environment variable {VARIABLE} if you trust it"
        )


def most_pixels() -> int:
    """MOST_PIXELS, or what the environment says."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return MOST_PIXELS
    if not text.isdigit() or not int(text):
        raise TooManyPixels(f"{VARIABLE} must be a number of pixels, 1 or more, got {text!r}")
    return int(text)


def _open(file: IO[bytes]) -> Image.Image:
    """PIL's reader of this format, called directly: `Image.open` has a limit of its own."""
    Image.preinit()
    name = (true_format(file.read(_START)) or "").upper()
    file.seek(0)
    if name in Image.OPEN:
        image = Image.OPEN[name][0](file, "")
        assert isinstance(image, Image.Image)
        return image
    return Image.open(file)
