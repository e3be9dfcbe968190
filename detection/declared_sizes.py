"""What a file of weights declares against what it holds: a few bytes can stand for gigabytes.

A zip archive says how large its entries become, a tensor says its shape and strides.  Both are
compared with the size of the file before any memory is taken for them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Weights hardly compress, and few are tied: real files declare about what they hold.
_TIMES = 16
_ALWAYS = 64 << 20  # bytes that any file may declare
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
