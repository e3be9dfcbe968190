"""Parameter names: those of every kind of file -> ours, and back for messages."""

from __future__ import annotations

from torch import Tensor

from detection.weights.detectron2 import backbone_from_detectron2, detectron2_name, layer_name
from detection.weights.moco import QUERY, from_moco
from detection.weights.msra import from_msra, msra_name
from detection.weights.parameter import Parameter
from detection.weights.source import Kind, Source
from detection.weights.torchvision import from_torchvision, torchvision_name


def classifier_weights(source: Source) -> tuple[dict[str, Tensor], list[str]]:
    """A backbone's file -> (weights of our Classifier, the names left out).

    They include ``fc`` if the file has a classifier.  Raises ValueError, naming file and parameter,
    for a name that the kind of file does not have.
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
        if source.author == "MOCO":  # its fc is a projection, not a classifier
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


def parameter_name(kind: Kind, ours: str) -> str:
    """The name of a parameter of our classifier or detector in a file of ``kind``."""
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
