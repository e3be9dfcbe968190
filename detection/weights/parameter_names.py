"""Parameter names: those of every kind of file -> ours, and back for messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from detection.weights.detectron2 import backbone_from_detectron2, detectron2_name, layer_name
from detection.weights.layouts import Kind
from detection.weights.mmdetection import from_mmdetection, mmdetection_name
from detection.weights.msra import from_msra, msra_name
from detection.weights.parameter import Parameter
from detection.weights.source import Source
from detection.weights.torchvision import from_torchvision, torchvision_name
from detection.weights.transformers import from_transformers, transformers_name

# The children of torchvision's ResNet in a Sequential (Lightly): relu and maxpool have no weights.
_NUMBERED = {"0": "conv1", "1": "bn1"} | {str(i + 3): f"layer{i}" for i in range(1, 5)}


def classifier_weights(source: Source) -> tuple[dict[str, Tensor], list[str]]:
    """A backbone's file -> (weights of our Classifier, the names left out).

    They include ``fc`` if the file has a classifier.  Of a detector it is the backbone.
    Raises ValueError, naming file and parameter, for a name that the kind of file does not have.
    """
    try:
        weights, left_out = _classifier_weights(source)
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from None
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    for name in counters:
        del weights[name]
    return weights, source.left_out + [source.prefix + name for name in left_out] + counters


def _classifier_weights(source: Source) -> tuple[dict[str, Tensor], list[str]]:
    kind, weights = source.kind, source.weights
    if kind == "msra":
        return from_msra(weights)
    if kind == "detectron2 backbone":
        ours, left_out = backbone_from_detectron2(weights)
        if source.author == "MOCO":  # its fc is a projection, not a classifier
            left_out += [f"stem.{name}" for name in ours if name.startswith("fc.")]
            ours = {name: v for name, v in ours.items() if not name.startswith("fc.")}
        return ours, left_out
    if kind == "detectron2 detector":
        conv5, stem = "roi_heads.res5.", "backbone."
        part = {n.removeprefix(stem): v for n, v in weights.items() if n.startswith(stem)}
        part |= {n.removeprefix("roi_heads."): v for n, v in weights.items() if n.startswith(conv5)}
        # The BN behind conv5_x belongs to the detector's head (MoCo's protocol).
        part = {name: value for name, value in part.items() if not name.startswith("res5.norm.")}
        return backbone_from_detectron2(part)[0], _heads(weights)
    if kind == "mmdetection detector":
        ours, left_out = from_mmdetection(weights)
        part = {name: value for name, value in ours.items() if name.startswith("backbone.")}
        return part, [*left_out, *_heads(weights)]
    if kind == "ours":
        return {f"backbone.{name}": value for name, value in weights.items()}, []
    return _torchvision_weights(weights, _RENAMES.get(kind, str))


def _heads(weights: Mapping[str, Tensor]) -> list[str]:
    return [
        n for n in weights if not n.startswith(("backbone.", "roi_heads.res5.", "roi_head.sha"))
    ]


def _torchvision_weights(
    weights: Mapping[str, Tensor], rename: Callable[[str], str]
) -> tuple[dict[str, Tensor], list[str]]:
    original = {rename(name): name for name in weights}
    theirs = {name: weights[original[name]] for name in original}
    renamed, left_out = from_torchvision(theirs)
    ours = {f"backbone.{name}": value for name, value in renamed.items()}
    ours |= {name: theirs[name] for name in left_out if name.startswith("fc.")}
    return ours, [original[name] for name in left_out if not name.startswith("fc.")]


def _from_numbered(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{_NUMBERED.get(first, first)}.{rest}"


def _numbered(torchvision: str) -> str:
    first, _, rest = torchvision.partition(".")
    return f"{next((n for n, name in _NUMBERED.items() if name == first), first)}.{rest}"


_RENAMES: dict[str, Callable[[str], str]] = {
    "transformers": from_transformers,
    "torchvision, numbered": _from_numbered,
}


def parameter_name(kind: Kind, ours: str) -> str:
    """The name of a parameter of our classifier or detector in a file of ``kind``."""
    if kind == "detectron2 detector":
        return detectron2_name(ours)
    if kind == "mmdetection detector":
        return mmdetection_name(ours)
    parameter = Parameter.parse(ours.removeprefix("backbone."))
    if parameter is None:  # the classifier
        return f"fc1000_{ours[3]}" if kind == "msra" else ours
    if kind == "msra":
        return msra_name(parameter)
    if kind == "detectron2 backbone":
        return layer_name(parameter)
    if kind == "ours":
        return ours.removeprefix("backbone.")
    theirs = torchvision_name(parameter)
    if kind == "transformers":
        return transformers_name(theirs)
    return _numbered(theirs) if kind == "torchvision, numbered" else theirs
