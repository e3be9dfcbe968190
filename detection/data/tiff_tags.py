"""What a TIFF says of its samples: size, bits, colours and bands, before any of them is read.

TIFF 6.0, section 8.  Pillow refuses many files whose tags it reads, and OpenCV does not say what
it does with bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_WIDTH, _HEIGHT, _BITS, _COLOURS, _ORIENTATION = 256, 257, 258, 262, 274
_SAMPLES, _EXTRA, _FORMAT = 277, 338, 339
_BIG = 43  # in place of 42: BigTIFF, whose head is 16 bytes long
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
# How many samples a picture of these colours has: grey, RGB, palette, CMYK, YCbCr.
_OF_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, 3: 1, 5: 4, 6: 3}
_ALPHA = (1, 2)
# OpenCV's limit.
_MOST_SAMPLES = 4


@dataclass(frozen=True)
class TiffTags:
    """Of the first page.  ``width``, ``height`` as stored; ``orientation``: 1 ... 8, as EXIF's."""

    width: int
    height: int
    orientation: int
    bits: int
    colours: int
    samples: int
    extra: tuple[int, ...]
    sample_format: int

    @property
    def is_plain(self) -> bool:
        """Whether its samples are bytes, or fewer bits."""
        return self.bits <= 8 and self.sample_format == _UNSIGNED

    @property
    def is_unsigned(self) -> bool:
        """Whether its samples are whole numbers of up to 16 bits, from 0 on."""
        return self.bits <= 16 and self.sample_format == _UNSIGNED

    @property
    def white_is_zero(self) -> bool:
        return self.colours == _WHITE_IS_ZERO

    @property
    def dims_by_alpha(self) -> bool:
        """Whether its colours are as they are without their alpha, which libtiff multiplies in."""
        return self.colours == _RGB and self.samples == 4 and self.extra[:1] == _ALPHA[1:]

    @property
    def left_out(self) -> int:
        """How many bands are behind red, green and blue, besides alpha."""
        more = self.samples - _OF_COLOURS.get(self.colours, 1)
        return more if self.colours == _RGB and more > 0 and not self._has_alpha(more) else 0

    def check(self, path: Path) -> None:
        """Raises ValueError for samples of which it is not said how to see them."""
        expected = _OF_COLOURS.get(self.colours)
        if expected is None:
            raise ValueError(
                f"{path}: a TIFF with colours of kind {self.colours} (PhotometricInterpretation), "
                "neither grey, RGB, palette, CMYK nor YCbCr: convert it to RGB"
            )
        more = self.samples - expected
        # Three bands without a word of their colours are red, green and blue to everybody.
        is_rgb = self.colours == _RGB or (expected == 1 and self.samples == 3)
        if self.samples > _MOST_SAMPLES or more < 0 or (not is_rgb and not self._has_alpha(more)):
            raise ValueError(
                f"{path}: a TIFF of {self.samples} bands that are not grey, RGB or one of these "
                "with alpha: write the three bands, or the one, that the detector is to see into "
                "a file of their own"
            )
        if self.white_is_zero and not self.is_unsigned:
            raise ValueError(
                f"{path}: a TIFF of floats, or of more than 16 bits, whose white is 0: turn it "
                "round, so that its black is 0"
            )

    def _has_alpha(self, more: int) -> bool:
        """Whether the ``more`` samples behind the colours are alpha, or there are none."""
        return more == 0 or (more == 1 and self.extra[:1] in [(kind,) for kind in _ALPHA])


def read_tags(file: IO[bytes]) -> TiffTags | None:
    """``file``: at its start.  None for what is no TIFF, or a damaged one."""
    try:
        head = file.read(8)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return None
        if _BIG in head[2:4]:
            head += file.read(8)
        found = ImageFileDirectory_v2(head)
        file.seek(found.next)
        found.load(file)
        samples = _first(found, _SAMPLES, 1)
        return TiffTags(
            width=_first(found, _WIDTH),
            height=_first(found, _HEIGHT),
            orientation=_first(found, _ORIENTATION, 1),
            bits=max(map(int, _all(found, _BITS, 1))),
            colours=_first(found, _COLOURS, _RGB if samples >= 3 else _BLACK_IS_ZERO),
            samples=samples,
            extra=tuple(map(int, _all(found, _EXTRA, 0))),
            sample_format=_first(found, _FORMAT, _UNSIGNED),
        )
    except Exception:  # a damaged head may come out as anything
        return None


def _all(found: ImageFileDirectory_v2, tag: int, default: int | None = None) -> tuple[Any, ...]:
    value = found[tag] if default is None or tag in found else default
    return value if isinstance(value, tuple) else (value,)


def _first(found: ImageFileDirectory_v2, tag: int, default: int | None = None) -> int:
    return int(_all(found, tag, default)[0])
