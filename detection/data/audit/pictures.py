"""What is said of a picture by itself: whether it is whole, and what is unusual in it.

A file is read once, for its bytes, its pixels and what tells copies of it.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detection.data.image import decode_image
from detection.data.image_signature import true_format
from detection.data.near_duplicates import hash_of
from detection.data.tiff_tags import read_tags

# Pixels on a side, from which on a picture is very large.
LARGE = 6000
# A disk's block: so many zeros in a row are no coded pixels.
_BLOCK = 512
# Bytes of the standard's Huffman tables (ITU T.81, annex K.3): of grey pictures, of others.
_STANDARD_TABLES = (208, 416)
# Levels of 255 that a picture of one colour may differ by: JPEG rounds.
_ONE_COLOUR = 4
# The part of a picture's height that is looked at for the grey that fills cut files.
_END = 1 / 8
# (width, height) of what copies are told by, and about how many pixels of a side it is made of.
_SMALL, _THUMBNAIL, _SAMPLES = (72, 64), (16, 16), 128
_ORIENTATION = 0x0112
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}


@dataclass(frozen=True)
class Picture:
    """One file as it was found.

    ``size``: (height, width), upright; None if it cannot be read.  ``remarks``: (rule, place).
    ``digest``: of its bytes.  ``hash``: see `perceptual_hash`; ``thumbnail``: uint8 [16, 16].
    """

    path: Path
    digest: bytes
    size: tuple[int, int] | None
    remarks: tuple[tuple[str, str], ...]
    hash: int = 0
    thumbnail: NDArray[np.uint8] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it looks like any other picture of one colour."""
        return any(rule == "one-colour" for rule, _ in self.remarks)


def look_at(path: Path) -> Picture:
    """Never raises for what is wrong with the file: that is a remark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Picture(path, b"", None, (("unreadable", f"{path}: {error.strerror}"),))
    digest = hashlib.blake2b(data, digest_size=16).digest()
    try:
        image = decode_image(data, path)
    except (OSError, ValueError) as error:
        return Picture(path, digest, None, (("unreadable", str(error)),))
    step = max(min(image.shape[:2]) // _SAMPLES, 1)
    small = cv2.resize(image[::step, ::step], _SMALL, interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    remarks = [*_of_pixels(image, grey, path), *_of_bytes(data, path), *_of_head(data, path)]
    height, width = image.shape[:2]
    if max(height, width) > LARGE:
        remarks.append(("very-large", f"{path.name} is {width}x{height}"))
    thumbnail = cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA)
    return Picture(
        path,
        digest,
        (height, width),
        tuple(remarks),
        hash_of(grey),
        np.asarray(thumbnail, np.uint8),
    )


def _of_pixels(
    image: NDArray[np.uint8], grey: NDArray[np.uint8], path: Path
) -> list[tuple[str, str]]:
    if int(np.ptp(grey)) <= _ONE_COLOUR and int(np.ptp(image, axis=(0, 1)).max()) <= _ONE_COLOUR:
        colour = ", ".join(map(str, image[0, 0, ::-1].tolist()))
        return [("one-colour", f"{path.name} is ({colour}) everywhere")]
    end = image[-max(8, int(len(image) * _END)) :]
    if len(end) < len(image) and int(end.min()) >= 127 and int(end.max()) <= 129:
        return [("grey-end", f"{path.name}, the last {len(end)} rows at least")]
    return []


def _of_bytes(data: bytes, path: Path) -> list[tuple[str, str]]:
    found = true_format(data)
    remarks = []
    if found in _SUFFIXES and path.suffix.lower() not in _SUFFIXES[found]:
        remarks.append(("other-suffix", f"{path.name} is a {found}"))
    if found == "JPEG" and (scan := _scan_of_standard_tables(data)) is not None:
        at = data.find(bytes(_BLOCK), scan)
        if 0 <= at < data.rfind(b"\xff\xd9"):
            remarks.append(("zeros", f"{path.name}, from byte {at} on"))
    return remarks


def _scan_of_standard_tables(data: bytes) -> int | None:
    """Where the coded pixels begin; None where Huffman tables of the file's own may code a plain
    area by zeros, which the standard ones do not."""
    at, tables = 2, 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        if data[at + 1] == 0xDA:
            return at if tables in _STANDARD_TABLES else None
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xC4:
            tables += length - 2
        at += 2 + length
    return None


def _of_head(data: bytes, path: Path) -> list[tuple[str, str]]:
    name = path.name
    tags = read_tags(io.BytesIO(data))
    remarks = [("bands", name)] if tags is not None and tags.left_out else []
    if _is_deep_png(data) or (tags is not None and not tags.is_plain):
        remarks.append(("sixteen-bits", name))
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, has_alpha = image.mode, "transparency" in image.info
            orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # OpenCV read it; a damaged head may come out as anything
        return remarks
    if mode in ("L", "1"):
        remarks.append(("grey", name))
    elif mode == "CMYK":
        remarks.append(("cmyk", name))
    if mode in ("LA", "PA", "RGBA") or has_alpha:
        remarks.append(("alpha", name))
    if orientation in (2, 3, 4):
        remarks.append(("upside-down", f"{name} (EXIF orientation {orientation})"))
    elif orientation in (5, 6, 7, 8):
        remarks.append(("turned", f"{name} (EXIF orientation {orientation})"))
    return remarks


def _is_deep_png(data: bytes) -> bool:
    """PIL calls a PNG with three channels of 16 bits RGB."""
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"
