"""The fonts of this machine, for scripts that OpenCV's own letters do not cover."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont, features


@cache
def font_for(text: str) -> Path | None:
    """A file whose letters cover ``text``: matplotlib's DejaVu Sans, else one of the system's.

    None where there is none, or where Pillow cannot join and order letters (Raqm).
    """
    if not features.check_feature("raqm"):
        return None
    wanted = {ord(letter) for letter in text if not letter.isspace()} - JOINERS
    return next((file for file in _files() if wanted <= _covered(file)), None)


# Zero-width: they say how neighbours are joined, and are drawn as nothing.
JOINERS = {0x200C, 0x200D}


@cache
def font(file: Path, size: int) -> ImageFont.FreeTypeFont:
    """``size``: of an em, in pixels."""
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.RAQM)


@cache
def _files() -> list[Path]:
    """The plainest first; what is bold, slanted or of one width for all letters last."""
    import matplotlib  # half a second, for these scripts alone
    from matplotlib import font_manager

    own = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    found = [Path(name) for name in font_manager.findSystemFonts(fontext="ttf")]

    def plainness(file: Path) -> tuple[int, str]:
        name = file.stem.lower()
        odd = sum(word in name for word in ("bold", "italic", "oblique", "mono", "serif", "thin"))
        return odd - ("regular" in name) - ("sans" in name), name

    return [own, *sorted(found, key=plainness)]


@cache
def _covered(file: Path) -> frozenset[int]:
    """The code points that a font has an outline for; none of a file that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(file, 20)  # fails for fonts of bitmaps, which have one size alone
        return frozenset(FT2Font(str(file)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
