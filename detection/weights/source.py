"""Files of weights as the world has them: opened without running anything, and recognised."""

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
from detection.weights.detectron2 import (
    backbone_from_detectron2,
    detectron2_name,
    layer_name,
)
from detection.weights.input_format import (
    MSRA,
    TORCHVISION,
    InputFormat,
    from_description,
    reads_large_pixels,
)
from detection.weights.layers import Parameter
from detection.weights.moco import QUERY, from_moco
from detection.weights.msra import from_msra, msra_name
from detection.weights.safe_pickle import load_pickle
from detection.weights.torchvision import from_torchvision, torchvision_name

Kind = Literal["msra", "torchvision", "moco", "detectron2 backbone", "detectron2 detector"]

# Where other packages keep the weights inside what they save: detectron2, Caffe2, the rest.
_INNER = ("model", "blobs", "state_dict")


@dataclass(frozen=True, kw_only=True)
class Source:
    """``weights``: by the names in the file.  ``left_out``: what else the file holds.

    ``author``: of a detectron2 file.  ``described``: what a safetensors file says of itself.
    """

    path: Path
    kind: Kind
    weights: dict[str, Tensor]
    left_out: list[str]
    author: str = ""
    described: dict[str, str] = field(default_factory=dict)


def open_source(path: Path) -> Source:
    """Raises FileNotFoundError, or ValueError for a file that may not or cannot be read."""
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
    # torch.nn.DataParallel's prefix; MoCo's names are told by it.
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
    """(float32 tensors by name, the names of what is no tensor)."""
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


def classifier_weights(source: Source) -> tuple[dict[str, Tensor], list[str]]:
    """A backbone's file -> (weights of our Classifier, ``fc`` where there is one; names left out).

    Raises ValueError, naming file and parameter, for a name that the kind of file does not have.
    """
    try:
        weights, left_out = _classifier_weights(source)
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from None
    return weights, source.left_out + left_out


def _classifier_weights(source: Source) -> tuple[dict[str, Tensor], list[str]]:
    if source.kind == "msra":
        return from_msra(source.weights)
    if source.kind == "detectron2 backbone":
        weights, left_out = backbone_from_detectron2(source.weights)
        if source.author == "MOCO":  # fc is its projection, not a classifier
            left_out += [f"stem.{name}" for name in weights if name.startswith("fc.")]
            weights = {name: v for name, v in weights.items() if not name.startswith("fc.")}
    elif source.kind == "moco":
        theirs, left_out = from_moco(source.weights)
        weights, counters = _with_prefix(from_torchvision(theirs))
        left_out += [f"{QUERY}{name}" for name in counters]
    else:
        weights, left_out = _with_prefix(from_torchvision(source.weights))
        fc = [name for name in left_out if name.startswith("fc.")]
        weights |= {name: source.weights[name] for name in fc}
        left_out = [name for name in left_out if name not in fc]
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    for name in counters:
        del weights[name]
    return weights, left_out + counters


def _with_prefix(
    converted: tuple[dict[str, Tensor], list[str]],
) -> tuple[dict[str, Tensor], list[str]]:
    return {f"backbone.{name}": value for name, value in converted[0].items()}, converted[1]


def input_format(source: Source, weights: Mapping[str, Tensor]) -> InputFormat:
    """What the backbone's file ``source`` was trained on, by what it says or by its numbers.

    ``weights``: out of :func:`classifier_weights`.  Raises ValueError where it cannot be told.
    """
    if source.kind == "msra":
        return MSRA
    described = from_description(source.described)
    if described:
        return described
    backbone = {name.removeprefix("backbone."): value for name, value in weights.items()}
    large = reads_large_pixels(backbone)
    if large is None and source.kind != "moco":
        raise ValueError(
            f"{source.path}: its BN was never trained, or is folded, so nothing in it tells "
            "what its pixels were: give pixels= (torchvision, msra, detectron2) and stride_in_1x1="
        )
    if not large:
        return TORCHVISION
    if source.kind == "detectron2 backbone":
        return MSRA
    raise ValueError(
        f"{source.path}: has {source.kind}'s names, but its conv1 was trained on pixels of 0 ... "
        "255: say which with pixels= (msra, detectron2) and stride_in_1x1="
    )


def parameter_name(kind: Kind, ours: str) -> str:
    """What a parameter of our Classifier, or of our detector, is called in a file of ``kind``."""
    if kind == "detectron2 detector":
        return detectron2_name(ours)
    parameter = Parameter.parse(ours.removeprefix("backbone."))
    if parameter is None:  # the classifier
        return f"fc1000_{ours[3]}" if kind == "msra" else ours
    if kind == "msra":
        return msra_name(parameter)
    if kind == "detectron2 backbone":
        return layer_name(parameter)
    return (QUERY if kind == "moco" else "") + torchvision_name(parameter)
