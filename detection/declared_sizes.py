"""What a file of weights declares against what it holds: a few bytes can stand for gigabytes.

A zip archive says how large its entries become, a tensor its shape and strides, a storage of
torch's old format its length, and the configuration how large the network is.  All are compared
with what the file holds before any memory is taken for them.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Weights hardly compress, and few are tied: real files declare about what they hold.
_TIMES = 16
# The first pickle of the files that torch.save wrote before it wrote zip archives, protocol 2.
_OLD_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_ALWAYS = 64 << 20  # bytes that any file may declare
_TENSORS = 1000  # that any network may have besides those of its file
_REMEDY = "its contents do not fit its size: get it from a source that you trust"


def check_archive_sizes(path: Path) -> None:
    """Raises ValueError for a zip bomb.  A damaged archive is left to :mod:`detection.damage`."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # foreign bytes: zipfile raises anything
        return
    _compare(path, declared, "its archive unpacks to")


def check_tensor_sizes(path: Path, content: Any) -> None:
    """Raises ValueError for tensors without numbers of their own, or that repeat a few of them."""
    declared = 0
    for tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise ValueError(f"{path}: a tensor that is not plain numbers ({tensor.layout})")
        declared += tensor.numel() * tensor.element_size()
    _compare(path, declared, "its tensors declare")


def check_storage_sizes(path: Path) -> None:
    """Raises ValueError if a file of torch's old format declares more numbers than it has bytes.

    Its fourth pickle names each storage by a tuple whose number is its length.  What is no such
    file is left to who reads it.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_OLD_START)) != _OLD_START:
                return
            file.seek(0)
            for _ in range(3):  # a magic number, the version of the format, the machine
                for _ in pickletools.genops(file):
                    pass
            declared = sum(_lengths(pickletools.genops(file)))
    except OSError:
        raise
    except Exception:  # foreign bytes: pickletools raises anything
        return
    size = path.stat().st_size
    if declared > size:
        raise ValueError(
            f"{path}: its storages declare {declared:,} numbers, the file has {size:,} bytes: "
            f"{_REMEDY}"
        )


def _lengths(operations: Iterator[tuple[Any, Any, int | None]]) -> Iterator[int]:
    """The length of each storage once, the largest number of the tuple that names it."""
    known: set[str] = set()
    texts: list[str] = []
    numbers: list[int] = []
    for operation, value, _ in operations:
        if operation.name == "MARK":
            texts, numbers = [], []
        elif operation.name == "BINPERSID":
            key = " ".join(texts)
            if key not in known:
                yield max(numbers, default=0)
            known.add(key)
        elif isinstance(value, int) and "PUT" not in operation.name and "GET" not in operation.name:
            numbers.append(value)
        elif isinstance(value, str):
            texts.append(value)


class Allowance:
    """How much a network may take that gets its weights from a file: little more than they are.

    :meth:`take` raises ValueError for a network that is larger, before memory is taken for it.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, source: str) -> None:
        self._held = sum(value.numel() * value.element_size() for value in weights.values())
        self._most, self._source = _ALWAYS + 2 * self._held, source
        self._most_tensors = _TENSORS + 8 * len(weights)
        self._taken = self._tensors = 0

    def take(self, shape: Sequence[int], element_size: int) -> None:
        """Before a tensor of this shape is made."""
        self._taken += math.prod(shape) * element_size
        self._tensors += 1
        if self._taken > self._most or self._tensors > self._most_tensors:
            raise ValueError(
                f"the configuration of {self._source} describes a network of {self._taken:,} bytes "
                f"in {self._tensors:,} tensors, or more; its weights are {self._held:,} bytes: "
                f"{_REMEDY}"
            )


def _compare(path: Path, declared: int, what: str) -> None:
    size = path.stat().st_size
    if declared > _ALWAYS + _TIMES * size:
        raise ValueError(f"{path}: {what} {declared:,} bytes, the file has {size:,}: {_REMEDY}")


def _tensors(content: Any) -> Iterator[Tensor]:
    """Each object once: one list may stand in itself, or a million times in others."""
    seen: dict[int, Any] = {}
    left = [content]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Tensor):
            seen[id(value)] = value
            yield value
        elif isinstance(value, Mapping):
            seen[id(value)] = value
            left += value.values()
        elif isinstance(value, (list, tuple)):
            seen[id(value)] = value
            left += value
