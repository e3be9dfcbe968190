"""The size of a picture: what its annotation says against what its head says.

The heads of all pictures are read before anything is trained on them: a wrong size would stop the
training when it comes to that picture, or misplace the boxes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from tqdm import tqdm

from detection.data.findings import Findings
from detection.data.image import read_size

# From this number of pictures on, reading their heads takes long enough for a progress bar.
_MANY = 5000
_ORIENTATION = 0x0112

Size = tuple[int, int]


@dataclass(frozen=True)
class Sized:
    """A picture and what its annotation says.

    ``size``: (height, width), or None where the annotation has none.
    ``corners``: [G, 4] in pixels, by which a turned size is told.
    """

    path: Path
    size: Size | None
    corners: ArrayLike


def settle_sizes(
    pictures: Sequence[Sized],
    findings: Findings,
    *,
    replaced: Literal["refuse", "keep"] = "refuse",
    has_sizes: bool = True,
) -> list[Size]:
    """The true (height, width) of each picture, upright.

    A size that is missing, a pixel off, or with its sides exchanged is repaired.  Any other
    difference is refused, unless ``replaced`` is "keep" and all boxes lie within the picture: then
    somebody changed the picture after its objects were annotated.
    ``has_sizes``: whether a missing size is worth a word.
    """
    return [_settle(picture, findings, replaced, has_sizes) for picture in _with_progress(pictures)]


def _with_progress(pictures: Sequence[Sized]) -> Iterable[Sized]:
    return tqdm(
        pictures,
        desc="sizes of pictures",
        unit="img",
        leave=False,
        disable=len(pictures) < _MANY,
    )


def _settle(picture: Sized, findings: Findings, replaced: str, has_sizes: bool) -> Size:
    path, size = picture.path, picture.size
    try:
        true = read_size(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error) if str(path) in str(error) else f"{path}: not a readable image: {error}"
        findings.refuse(f"{reason}; {_is(path)}save it again, or take it out of the annotations")
        return size or _extent(picture.corners)
    if size is None:
        if has_sizes:
            findings.repaired(
                "size of a picture missing, taken from the picture", f"{path.name} is {_by(true)}"
            )
    elif size != true and not _repaired(picture, size, true, findings, replaced):
        findings.refuse(
            f"{path}: the image is {_by(true)} (upright), its annotation says {_by(size)}; the "
            "boxes would be misplaced: correct the annotation, or save the image without EXIF "
            "orientation if it was annotated as stored"
        )
    return true


def _repaired(picture: Sized, size: Size, true: Size, findings: Findings, replaced: str) -> bool:
    path = picture.path
    said = f"{path.name} is {_by(true)}, its annotation says {_by(size)}"
    inside = _lie_within(picture.corners, true)
    if max(abs(size[0] - true[0]), abs(size[1] - true[1])) <= 1:
        findings.repaired("size of a picture a pixel off, taken from the picture", said)
    elif size == true[::-1] and _is_turned(path):
        return False  # annotated as stored: the boxes are turned, whether they fit or not
    elif size == true[::-1] and inside:
        findings.repaired("width and height of a picture exchanged", said)
    elif replaced == "keep" and inside:
        findings.repaired(
            "picture of another size than annotated, boxes kept in pixels (look at them)", said
        )
    else:
        return False
    return True


def _lie_within(corners: ArrayLike, size: Size) -> bool:
    boxes = np.asarray(corners, dtype=np.float64).reshape(-1, 4)
    limit = np.array((size[1], size[0], size[1], size[0])) + 1.0
    return bool(((boxes >= -1.0) & (boxes <= limit)).all())


def _extent(corners: ArrayLike) -> Size:
    """The smallest picture that has all boxes: of one that cannot be read."""
    boxes = np.nan_to_num(np.asarray(corners, dtype=np.float64).reshape(-1, 4))
    right, bottom = boxes[:, 2:].max(axis=0, initial=1.0).clip(1, 1e7).tolist()
    return math.ceil(bottom), math.ceil(right)


def _is_turned(path: Path) -> bool:
    """By its EXIF orientation: then the size as stored is no slip, and the boxes are turned too."""
    with Image.open(path) as image:
        orientation: int = image.getexif().get(_ORIENTATION, 1)
    return orientation >= 5


def _by(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _is(path: Path) -> str:
    """What a file that is no readable picture seems to be."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
        length = os.path.getsize(path)
    except OSError:
        return ""
    if not length:
        return "it is empty; "
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "it is a HEIC photo: convert it to JPEG; "
    if head.lstrip().lower().startswith((b"<html", b"<!doctype")):
        return "it is a web page; "
    return f"it has {length} bytes; "
