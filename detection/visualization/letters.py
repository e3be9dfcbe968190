"""Texts as pictures: a mask of the letters of a class name, in whatever script.

OpenCV draws Latin, Greek, Cyrillic, Chinese, Japanese and Korean with the fonts that it brings.
Pillow draws what it cannot: scripts from right to left, with letters that join or marks that move
(Arabic, Hebrew, Devanagari, Thai ...), symbols, and emoji in one colour.  It takes DejaVu Sans,
which matplotlib brings and which has Arabic, Hebrew, Armenian, Georgian and the emoji faces, or
else a font of the system.  :func:`is_covered` says whether a text can be drawn: nothing becomes
"?" in silence.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from detection.visualization.fonts import JOINERS, font, font_for

# uint8 [height, width]: 0 paper ... 255 ink
Mask = NDArray[np.uint8]

MIN_SIZE = 11  # of an em in pixels: smaller letters cannot be read


@dataclass(frozen=True)
class _Piece:
    """Letters whose base line is between the rows ``base`` - 1 and ``base`` of ``mask``."""

    mask: Mask
    base: int


# Every score is another text, and of large letters each takes up to 20 kB.
@lru_cache(maxsize=2048)
def letters(text: str, size: int) -> Mask:
    """The letters of ``text`` alone, without margins; at least as high as those of "Hg".

    ``size``: of an em in pixels.  Letters that no font has are left out: see :func:`is_covered`.
    """
    high, low = _line(size)
    pieces = [piece for piece in _pieces(cleaned(text), size) if piece.mask.size]
    above = max([high, *(piece.base for piece in pieces)])
    below = max([low, *(len(piece.mask) - piece.base for piece in pieces)])
    width = sum(piece.mask.shape[1] for piece in pieces)
    line = np.zeros((above + below, width), np.uint8)
    x = 0
    for piece in pieces:
        height, across = piece.mask.shape
        line[above - piece.base : above - piece.base + height, x : x + across] = piece.mask
        x += across
    columns = np.flatnonzero(line.any(axis=0))
    found = line[:, columns[0] : columns[-1] + 1] if columns.size else line[:, :0]
    found.flags.writeable = False  # it is handed out again
    return found


@cache
def is_covered(text: str) -> bool:
    """Whether there are fonts for all letters of ``text``, and something of it can be seen."""
    text = cleaned(text)
    plain, (_, core, _) = _is_plain(text), _split(text)
    return bool(text) and (plain or font_for(core) is not None or all(map(_has_letter, core)))


def shortened(text: str, size: int, width: int) -> str:
    """``text``, or so much of its beginning as fits ``width`` pixels, with "…"; else ""."""
    if letters(text, size).shape[1] <= width:
        return text
    fitting, too_long = 0, len(text)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if letters(f"{text[:middle]}…", size).shape[1] <= width:
            fitting = middle
        else:
            too_long = middle
    return f"{text[:fitting].rstrip()}…" if fitting else ""


def cleaned(text: str) -> str:
    """One line, without signs that are not seen or that turn the order of the others."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    unseen = ("Cc", "Cf", "Co", "Cs")
    return "".join(
        c for c in composed if unicodedata.category(c) not in unseen or ord(c) in JOINERS
    )


def _pieces(text: str, size: int) -> list[_Piece]:
    if _is_plain(text):
        return _plain_pieces(text, size)
    start, core, end = _split(text)
    if font_for(core) is not None:
        found = [_by_pillow(core, size)]
    else:
        each = (c for c in core if _has_letter(c))
        found = [_by_opencv(c, size) if _is_plain(c) else _by_pillow(c, size) for c in each]
    return [*_plain_pieces(start, size), *found, *_plain_pieces(end, size)]


def _plain_pieces(text: str, size: int) -> list[_Piece]:
    """A piece for each word and blank: names and scores come again, together they hardly do."""
    return [_by_opencv(word, size) for word in re.split("( )", text) if word]


def _split(text: str) -> tuple[str, str, str]:
    """Before, between and after the first and the last sign that is not ASCII.

    A font of another script may have no digits.
    """
    others = [index for index, letter in enumerate(text) if not letter.isascii()]
    if not others:
        return text, "", ""
    return text[: others[0]], text[others[0] : others[-1] + 1], text[others[-1] + 1 :]


@cache
def _is_plain(text: str) -> bool:
    """Whether OpenCV draws it right: it knows each letter, and puts one after another."""
    return all(
        letter.isascii()
        or (
            unicodedata.bidirectional(letter) not in ("R", "AL", "AN")
            and not unicodedata.category(letter).startswith("M")
            and _opencv_has(letter)
        )
        for letter in text
    )


def _has_letter(letter: str) -> bool:
    """Of a name that no single font covers: letters of their own, of one order."""
    if unicodedata.bidirectional(letter) in ("R", "AL", "AN"):
        return False
    return _is_plain(letter) or font_for(letter) is not None


@cache
def _opencv_has(letter: str) -> bool:
    """OpenCV draws "?" for what it does not have."""
    return letter.isspace() or not np.array_equal(
        _by_opencv(letter, 24).mask, _by_opencv("?", 24).mask
    )


@cache
def _line(size: int) -> tuple[int, int]:
    """Pixels above and below the base line."""
    piece = _by_opencv("Hg", size)
    return piece.base, len(piece.mask) - piece.base


@lru_cache(maxsize=1024)
def _by_opencv(text: str, size: int) -> _Piece:
    face = _face()
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size)
    canvas = np.zeros((3 * size, width + 2 * size), np.uint8)
    (x, _), _ = cv2.putText(canvas, text, (size, 2 * size), (255,), face, size, 500)
    return _cropped(canvas, size, max(x, size))


@cache
def _face() -> cv2.FontFace:
    return cv2.FontFace("sans")


def _by_pillow(text: str, size: int) -> _Piece:
    file = font_for(text)
    assert file is not None
    face = font(file, size)
    canvas = PillowImage.new("L", (int(face.getlength(text)) + 2 * size, 3 * size))
    ImageDraw.Draw(canvas).text((size, 2 * size), text, fill=255, font=face, anchor="ls")
    return _cropped(np.asarray(canvas), size, size + round(face.getlength(text)))


def _cropped(canvas: Mask, size: int, end: int) -> _Piece:
    """Letters that were drawn at (size, 2 size): their rows, and their width with blanks."""
    rows = np.flatnonzero(canvas.any(axis=1))
    columns = np.flatnonzero(canvas.any(axis=0))
    if not rows.size:
        return _Piece(np.zeros((0, 0), np.uint8) if end <= size else canvas[:1, size:end], 0)
    first, last = min(size, int(columns[0])), max(end, int(columns[-1]) + 1)
    # A copy, for pieces are kept, and the canvas is many times as large.
    return _Piece(canvas[rows[0] : rows[-1] + 1, first:last].copy(), 2 * size - int(rows[0]))
