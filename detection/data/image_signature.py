"""What a file really is, by its first bytes: its name may say something else."""

from __future__ import annotations

# (where the bytes are, the bytes, what the file is).
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "BigTIFF"),
    (0, b"MM\x00+", "BigTIFF"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftyp", "MP4 or QuickTime video"),
    (8, b"AVI ", "AVI video"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x00\x05\x16\x07", "AppleDouble (a Mac's notes on another file)"),
    (0, b"version https://git-lfs", "Git LFS pointer (git lfs pull gets the file)"),
)


def true_format(data: bytes) -> str | None:
    """The format of a file that begins with ``data``; None: none of those that are known.

    "HTML page" for what a server sends in place of a picture.
    """
    for offset, signature, name in _SIGNATURES:
        if data.startswith(signature, offset):
            return name
    start = data[:256].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML page"
    return "SVG" if start.startswith((b"<svg", b"<?xml")) and b"<svg" in data[:1024] else None
