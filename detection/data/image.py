"""The one image reader: training, inference and size checks see the same pixels."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.data_root import refuse_outside
from detection.data.image_signature import true_format
from detection.data.jpeg import check_end, read_strictly
from detection.data.picture_head import check_head, read_head

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_image(path: Path, *, strict: bool = True) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR, turned upright according to its EXIF orientation.

    ``strict``: refuse JPEGs with damaged bytes, too; see `detection.data.jpeg`.

    Raises FileNotFoundError; ValueError if the file is not an image, or is truncated.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    return decode_image(data, path, strict=strict)


def decode_image(data: bytes, path: Path, *, strict: bool = True) -> NDArray[np.uint8]:
    """As `read_image`, for the bytes of a file; ``path`` is used in the error message."""
    check_head(data, path)
    try:
        if strict:
            strictly = read_strictly(data)
            if strictly is not None:
                return strictly
        else:
            check_end(data)
    except ValueError as error:
        what, _, detail = str(error).partition(": ")
        raise ValueError(
            f"{path}: {what} ({len(data)} bytes{f', {detail}' if detail else ''}); "
            "copy or download the file again, or take it out of the data set"
        ) from None
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

    Raises the same errors as `read_image`; and ValueError for a file outside of the data set
    (`data_root.within`).
    """
    refuse_outside(path)
    try:
        head = read_head(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image") from None
    if head is None:
        raise ValueError(f"{path}: not a readable image")
    return (head.width, head.height) if head.sideways else (head.height, head.width)
