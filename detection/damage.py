"""Damage to files of weights: checksums over all bytes, and numbers that are not finite."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

# A zip archive may end with a comment.  Ours is the checksum of all bytes before it: those of the
# archive itself leave out the headers and the padding.
_COMMENT = re.compile(rb"detection crc32 ([0-9a-f]{8})")
_COMMENT_LENGTH = len(b"detection crc32 00000000")
_END = b"PK\x05\x06"  # of the record that the comment ends, 22 bytes with the comment's length
_END_LENGTH = 22
# The entry of a safetensors file's metadata, and the bytes of it that are zeros in the sum.
METADATA_KEY = "detection_crc32"
BLANK = "00000000"
_ENTRY = re.compile(rb'"detection_crc32":"([0-9a-f]{8})"')
_BLOCK = 1 << 20
_REMEDY = "copy or download it again, or take an earlier one"


def seal_archive(path: Path) -> None:
    """Writes the checksum of a file of torch.save behind it, where other programs see a comment."""
    with path.open("r+b") as file:
        file.seek(-2, 2)  # the length of the comment, 0 until now
        file.write(_COMMENT_LENGTH.to_bytes(2, "little"))
    total = _checksum(path)
    with path.open("ab") as file:
        file.write(b"detection crc32 %08x" % total)


# What zipfile raises for foreign bytes; ValueError: a name that is no text, an offset below 0.
BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, as torch.save writes them; a damaged one is."""
    try:
        return zipfile.is_zipfile(path)
    except BROKEN_ARCHIVE:
        return True


def check_archive(path: Path) -> None:
    """Raises ValueError if a bit of a zip archive has changed since it was written.

    Of files without our checksum, of those that the archive's own checksums cover.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _COMMENT_LENGTH - _END_LENGTH))
        end = file.read()
    comment = _COMMENT.fullmatch(end[_END_LENGTH:])
    if comment or end.startswith(_END):
        if not comment or int(comment[1], 16) != _checksum(path, size - _COMMENT_LENGTH):
            raise ValueError(f"{path}: damaged, its checksum is another: {_REMEDY}")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except BROKEN_ARCHIVE as error:
        raise ValueError(f"{path}: damaged ({error}): {_REMEDY}") from None
    if damaged is not None:
        raise ValueError(f"{path}: damaged, the checksum of {damaged} is another: {_REMEDY}")


def seal_safetensors(path: Path) -> None:
    """Fills the entry METADATA_KEY, which is BLANK until now, with the checksum of the file."""
    place = _place(path)
    assert place is not None
    total = _checksum(path)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"%08x" % total)


def check_safetensors(path: Path, metadata: Mapping[str, str]) -> None:
    """Raises ValueError if a bit of a file has changed since :func:`seal_safetensors`.

    ``metadata``: that of the file.  Files without our checksum are not checked.
    """
    if METADATA_KEY not in metadata:
        return
    place = _place(path)
    if place is None or metadata[METADATA_KEY] != f"{_checksum(path, blank=place):08x}":
        raise ValueError(f"{path}: damaged, its checksum is another: {_REMEDY}")


def check_finite(weights: Mapping[str, Tensor], *, source: str) -> None:
    """Raises ValueError that names the first of the ``weights`` with a NaN or an infinity."""
    bad = not_finite(weights)
    if bad:
        others = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise ValueError(
            f"{source}: {bad[0]}{others} of its weights hold numbers that are not finite (NaN or "
            "infinity), so they detect nothing: its training has diverged; take an earlier "
            "checkpoint, or train again with a lower schedule.learning_rate.reference"
        )


def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold a NaN or an infinity."""
    names = [
        name
        for name, value in weights.items()
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel()
    ]
    if not names:
        return []
    # A NaN is its own least and greatest number; to look at each takes five times as long.
    ends = [torch.stack(torch.aminmax(weights[name])) for name in names]
    # One exchange with a GPU, not one for each tensor.
    finite = torch.stack([pair.isfinite().all() for pair in ends]).tolist()
    return [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]


def _place(path: Path) -> int | None:
    """Where in the header of a safetensors file the eight digits stand."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        found = _ENTRY.search(file.read(length))
    return None if found is None else 8 + found.start(1)


def _checksum(path: Path, length: int | None = None, *, blank: int | None = None) -> int:
    """CRC-32 of the first ``length`` bytes, with BLANK in place of those from ``blank`` on."""
    total, done = 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK if length is None else min(_BLOCK, length - done)):
            if blank is not None and done - len(BLANK) < blank < done + len(block):
                changed = bytearray(block)
                for place in range(blank, blank + len(BLANK)):
                    if 0 <= place - done < len(block):
                        changed[place - done] = ord("0")
                block = bytes(changed)
            total = zlib.crc32(block, total)
            done += len(block)
    return total
