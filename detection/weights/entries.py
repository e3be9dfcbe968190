"""The state dicts in a file, wherever they are nested: its entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detection.weights.file_content import mapping_of
from detection.weights.safe_pickle import Array, Skipped

# Deeper nesting than any checkpoint has; a pickle may nest without end, or hold itself.
_DEEPEST = 8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """``keys``: the way to it, such as ("student",); empty if the file is a state dict itself.

    ``weights``: its tensors as the file has them.  ``other``: what stands beside them.
    """

    keys: tuple[str, ...]
    weights: dict[str, Tensor]
    other: tuple[str, ...]


def entries_of(tree: Any) -> list[Entry]:
    """Every mapping in ``tree`` that holds tensors, the outermost first."""
    return list(_entries(tree, ()))


def _entries(value: Any, keys: tuple[str, ...]) -> Iterator[Entry]:
    items = mapping_of(value)
    if items is None or len(keys) > _DEEPEST:
        return
    tensors = {str(key): as_tensor(item) for key, item in items.items()}
    weights = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if weights:
        yield Entry(
            keys=keys,
            weights=weights,
            other=tuple(shown(k, v) for k, v in items.items() if str(k) not in weights),
        )
    for key, item in items.items():
        yield from _entries(item, (*keys, str(key)))


def beside(tree: Any, keys: tuple[str, ...]) -> list[str]:
    """What a file holds beside the entry at ``keys``, on every level of the way."""
    names, way = [], ""
    for key in keys:
        items = mapping_of(tree) or {}
        names += [way + shown(k, v) for k, v in items.items() if str(k) != key]
        tree = next(value for k, value in items.items() if str(k) == key)
        way += f"{key}."
    return names


def shown(key: Any, value: Any) -> str:
    """The name of what is not read; of an object also its class."""
    return f"{key} ({value.kind}, not read)" if isinstance(value, Skipped) else str(key)


def as_tensor(value: Any) -> Tensor | None:
    """A tensor, or an array of numbers as one; None for anything else."""
    if isinstance(value, Array):
        value = value.built
    if isinstance(value, np.ndarray) and value.dtype.kind in "bBiuf":
        value = torch.from_numpy(value)
    return value.detach() if isinstance(value, Tensor) else None
