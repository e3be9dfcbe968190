"""The one image reader: training, inference and size checks see the same pixels."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from detection.data.data_root import refuse_outside
from detection.data.image_signature import true_format
from detection.data.jpeg import bits_of_sample, check_end, read_strictly
from detection.data.picture_head import check_head, read_head
from detection.data.sample_range import to_bytes
from detection.data.tiff_tags import read_tags

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_EIGHT_BITS = ("JPEG", "BMP", "WebP", "GIF")


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
    image = _decoded(data, path)
    if image is None:
        found = true_format(data)
        bits = bits_of_sample(data)
        deep = f" of {bits} bits a sample, 8 are read" if bits not in (None, 8) else ""
        raise ValueError(
            f"{path}: not a readable image ({len(data)} bytes"
            f"{f', a {found}{deep}' if found else ''}); "
            f"images are {', '.join(SUFFIXES)} files that OpenCV can decode"
        )
    return to_bytes(image, path)


def _decoded(data: bytes, path: Path) -> NDArray[Any] | None:
    """[H, W, 3], BGR, of the type that the file has; None where OpenCV cannot read it."""
    kind = true_format(data)
    tags = read_tags(io.BytesIO(data)) if kind in ("TIFF", "BigTIFF") else None
    if tags is not None:
        tags.check(path)
        is_eight = tags.is_plain
    else:
        is_eight = kind in _EIGHT_BITS or (kind == "PNG" and data[24:25] != b"\x10")
    if tags is not None and tags.is_plain and tags.dims_by_alpha:
        return _without_alpha(data)
    flags = cv2.IMREAD_COLOR if is_eight else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    if tags is not None and not tags.is_unsigned:
        flags = cv2.IMREAD_UNCHANGED  # it makes no colours of grey floats
    image = None
    # cv2.error: there are no bytes, or more pixels than OpenCV's limit.
    with contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None or tags is None or is_eight:
        return image
    if image.dtype == np.uint8:
        raise ValueError(
            f"{path}: a TIFF of {tags.bits} bits a sample, {tags.samples} samples a pixel, of "
            "which OpenCV reads 8 bits alone: convert it to 8 bits, or write it without alpha"
        )
    if tags.is_unsigned:  # OpenCV turns white into black where it makes 8 bits alone
        return np.bitwise_not(image) if tags.white_is_zero else image
    if image.ndim == 2:
        image = image[:, :, None]
    return image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)


def _without_alpha(data: bytes) -> NDArray[np.uint8] | None:
    """Of a TIFF, by Pillow: OpenCV makes black of what is transparent."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            return np.ascontiguousarray(np.asarray(upright.convert("RGBA"))[:, :, 2::-1])
    except Exception:  # a damaged file may come out as anything
        return None


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
    if head.tiff is not None:
        head.tiff.check(path)
    return (head.width, head.height) if head.sideways else (head.height, head.width)
