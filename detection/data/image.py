"""THE image reader: training, inference and size checks see the same pixels."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_ORIENTATION = 0x0112  # the EXIF tag; 5 ... 8 are turned by a quarter
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_image(path: Path) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR, turned upright as its EXIF orientation says.

    Raises FileNotFoundError, or ValueError for a file that is no image or only part of one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    return decode_image(data, path)


def decode_image(data: bytes, path: Path) -> NDArray[np.uint8]:
    """:func:`read_image` of the bytes of a file; ``path`` is for the error alone."""
    if _is_truncated_jpeg(data):
        raise ValueError(
            f"{path}: truncated JPEG ({len(data)} bytes, the end marker is missing); "
            "copy or download the file again, or take it out of the data set"
        )
    image = None
    # cv2.error: no bytes at all, or more pixels than OpenCV is willing to decode.
    with contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(
            f"{path}: not a readable image ({len(data)} bytes); "
            f"images are {', '.join(SUFFIXES)} files that OpenCV can decode"
        )
    return np.asarray(image, dtype=np.uint8)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) of the upright image, from the head of its file alone.

    Raises as :func:`read_image`.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION, 1) >= 5
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not a readable image") from None
    return (width, height) if sideways else (height, width)


def _is_truncated_jpeg(data: bytes) -> bool:
    # OpenCV fills what is missing with grey and only warns.  In a whole file an end marker follows
    # the last scan; those of embedded thumbnails come before it, and coded pixels contain neither.
    return data.startswith(_JPEG_START) and data.rfind(_JPEG_END) <= data.rfind(_JPEG_SCAN)
