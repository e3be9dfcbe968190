"""The one image reader: training, inference and size checks see the same pixels."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.image_signature import true_format
from detection.data.picture_head import check_head, read_head

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_image(path: Path) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR, turned upright according to its EXIF orientation.

    Raises FileNotFoundError; ValueError if the file is not an image, or is truncated.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    return decode_image(data, path)


def decode_image(data: bytes, path: Path) -> NDArray[np.uint8]:
    """As `read_image`, for the bytes of a file; ``path`` is used in the error message."""
    if _is_truncated_jpeg(data):
        raise ValueError(
            f"{path}: truncated JPEG ({len(data)} bytes, the end marker is missing); "
            "copy or download the file again, or take it out of the data set"
        )
    check_head(data, path)
    image = None
    # cv2.error: there are no bytes, or more pixels than OpenCV's limit.
    with contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        found = true_format(data)
        raise ValueError(
            f"{path}: not a readable image ({len(data)} bytes{f', a {found}' if found else ''}); "
            f"images are {', '.join(SUFFIXES)} files that OpenCV can decode"
        )
    return np.asarray(image, dtype=np.uint8)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) of the upright image; reads only the header of the file.

    Raises the same errors as `read_image`.
    """
    try:
        head = read_head(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    if head is None:
        raise ValueError(f"{path}: not a readable image")
    return (head.width, head.height) if head.sideways else (head.height, head.width)


def _is_truncated_jpeg(data: bytes) -> bool:
    # OpenCV fills missing pixels with grey and only warns.  A complete file has an end marker after
    # its last scan; those of embedded thumbnails come before it, and coded pixels contain none.
    return data.startswith(_JPEG_START) and data.rfind(_JPEG_END) <= data.rfind(_JPEG_SCAN)
