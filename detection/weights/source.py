"""Files of weights of other packages: read without running their code, and recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from detection.checkpoint import load_plain
from detection.weights.moco import QUERY
from detection.weights.safe_pickle import load_pickle

Kind = Literal["msra", "torchvision", "moco", "detectron2 backbone", "detectron2 detector"]

# The key under which detectron2, Caffe2 and others save the weights.
_INNER = ("model", "blobs", "state_dict")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file holds.

    ``weights``: under the names of the file, in float32.  ``left_out``: names of everything else.
    ``author``: that of a detectron2 file.  ``described``: the metadata of a safetensors file.
    """

    path: Path
    kind: Kind
    weights: dict[str, Tensor]
    left_out: list[str]
    author: str = ""
    described: dict[str, str] = field(default_factory=dict)


def open_source(path: Path) -> Source:
    """Reads and recognises the file.

    Raises FileNotFoundError, or ValueError for a file that cannot be read, that would run code, or
    whose names belong to no known network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    described: dict[str, str] = {}
    if path.suffix == ".safetensors":
        content, described = _read_safetensors(path)
    elif path.suffix == ".pkl" and not _is_torch_file(path):
        content = load_pickle(path)
    else:
        content = load_plain(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not weights by their names")
    inner = next((key for key in _INNER if isinstance(content.get(key), Mapping)), None)
    left_out = [] if inner is None else [str(key) for key in content if key != inner]
    weights, other = _tensors(content if inner is None else dict(content[inner]))
    # The prefix of torch.nn.DataParallel.  MoCo's files keep it: they are recognised by it.
    if all(name.startswith("module.") for name in weights) and not _has(weights, QUERY):
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
    return Source(
        path=path,
        kind=_recognised(path, weights),
        weights=weights,
        left_out=left_out + other,
        author=str(content.get("__author__", "")),
        described=described,
    )


def _is_torch_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {
                name: file.get_tensor(name) for name in sorted(file.keys())
            }, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable file of weights: {error}") from None


def _tensors(content: Mapping[Any, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """(tensors by name, floating-point ones in float32; the names of everything else)."""
    tensors, other = {}, []
    for name, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "bBiuf":
            value = torch.from_numpy(value)
        if isinstance(value, Tensor):
            tensors[str(name)] = value.float() if value.is_floating_point() else value
        else:
            other.append(str(name))
    return tensors, other


def _has(names: Iterable[str], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in names)


def _recognised(path: Path, weights: Mapping[str, Tensor]) -> Kind:
    if _has(weights, "roi_heads.", "proposal_generator."):
        return "detectron2 detector"
    if _has(weights, QUERY):
        return "moco"
    if "stem.conv1.weight" in weights:
        return "detectron2 backbone"
    if "conv1_w" in weights:
        if "conv_rpn_w" in weights or _has(weights, "rpn_", "cls_score_"):
            raise ValueError(
                f"{path}: a detector of Caffe2's Detectron, whose boxes are a pixel wider than "
                "everybody else's; only its ImageNet weights are imported"
            )
        return "msra"
    if "conv1.weight" in weights:
        return "torchvision"
    shown = ", ".join(list(weights)[:3]) or "nothing"
    raise ValueError(
        f"{path}: not the weights of a ResNet or of a Faster R-CNN C4 in a known scheme of names "
        f"(it holds {shown}, ...)"
    )
