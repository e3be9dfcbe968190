"""A file for ``weights=``: the weights of one backbone under its own names, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from detection.checkpoint import backbone_of_classifier, is_classifier, is_detector
from detection.damage import check_finite
from detection.weights.architecture import resnet_depth
from detection.weights.entries import Entry, entries_of
from detection.weights.file_content import FileContent, read_content
from detection.weights.import_backbone import input_format
from detection.weights.input_format import InputFormat, from_description
from detection.weights.parameter_names import classifier_weights
from detection.weights.source import recognise
from detection.weights.torchvision import from_torchvision


@dataclass(frozen=True, kw_only=True)
class BackboneFile:
    """``weights``: under the backbone's names, in float32.  ``left_out``: the file's other names.

    ``input``: the pixels and the stride that it says or shows; None if it does neither.
    ``depth``: the layers of a ResNet; None for anything else.
    ``choice``: which of several networks it is, in words; "" if the file holds no other.
    """

    path: Path
    weights: dict[str, Tensor]
    left_out: list[str]
    input: InputFormat | None
    depth: int | None
    choice: str


def read_backbone(
    path: Path, backbone: nn.Module, *, entry: str | None = None, glance: bool = False
) -> BackboneFile:
    """What ``path`` holds for ``backbone``: an ImageNet network in any layout of docs/weights.md.

    Names of the backbone's own are taken first, so that backbones of other packages can be filled.
    ``entry``: which of several networks, by its name or a part of it; None: see
    :func:`detection.weights.layouts.choose`.
    ``glance``: for what the file says of itself, as in :func:`read_content`; its weights are not
    checked.
    Raises FileNotFoundError, or ValueError for a file that holds no such network.
    """
    found = _found(read_content(path, glance=glance), path, backbone, entry)
    if not glance:
        check_finite(found.weights, source=str(path))
    return found


def _found(
    content: FileContent, path: Path, backbone: nn.Module, entry: str | None
) -> BackboneFile:
    if is_detector(content.tree):
        raise ValueError(f"{path}: a detector of this package goes into init=, not weights=")
    if is_classifier(content.tree):
        if entry is not None:
            raise ValueError(f"{path}: it holds one network, so there is no weights_entry={entry}")
        config = content.tree["model_config"]
        return _file(
            path,
            backbone_of_classifier(content.tree),
            [],
            InputFormat.of_model(config, content.tree["weights"]) if "pixels" in config else None,
        )
    names = backbone.state_dict().keys()
    for held in entries_of(content.tree):
        own = _own_names(held, set(names), wanted=entry)
        if own is not None:
            others = [name for name in held.weights if not name.endswith(tuple(own))]
            described = from_description(content.described)
            return _file(path, own, others, described)
    return _of_others(content, entry)


def _own_names(entry: Entry, names: set[str], *, wanted: str | None) -> dict[str, Tensor] | None:
    """The tensors under the backbone's own names, with any prefix; None if they are not there."""
    if entry.weights.keys() <= names and _is_wanted(wanted, entry, ""):
        return entry.weights
    needed = {name for name in names if not name.endswith("num_batches_tracked")}
    first = min(needed, default="")
    for found in entry.weights:
        prefix = found.removesuffix(first)
        at_the_end = found == first or found.endswith(f".{first}")
        if not at_the_end or not _is_wanted(wanted, entry, prefix):
            continue
        if {prefix + name for name in needed} <= entry.weights.keys():
            return {name: entry.weights[prefix + name] for name in needed}
    return None


def _is_wanted(wanted: str | None, entry: Entry, prefix: str) -> bool:
    name = ".".join((*entry.keys, prefix)).strip(".")
    return wanted is None or f".{wanted.strip('.')}." in f".{name}."


def _of_others(content: FileContent, entry: str | None) -> BackboneFile:
    source = recognise(content, entry=entry)
    if source.kind == "torchvision's VGG":
        try:
            weights, left_out = from_torchvision(source.weights)
        except ValueError as error:
            raise ValueError(f"{content.path}: {error}") from None
        return _file(content.path, weights, [*source.left_out, *left_out], None, source.choice)
    weights, left_out = classifier_weights(source)
    try:
        found = input_format(source, weights)
    except ValueError:  # it cannot be told, so the configuration's word is taken
        found = None
    own = {n.removeprefix("backbone."): v for n, v in weights.items() if n.startswith("backbone.")}
    left_out += [name for name in weights if not name.startswith("backbone.")]
    return _file(content.path, own, left_out, found, source.choice)


def _file(
    path: Path,
    weights: Mapping[str, Tensor],
    left_out: list[str],
    found: InputFormat | None,
    choice: str = "",
) -> BackboneFile:
    try:
        depth = resnet_depth(weights, path=path)
    except ValueError:
        depth = None
    return BackboneFile(
        path=path,
        weights={n: v.float() if v.is_floating_point() else v for n, v in weights.items()},
        left_out=left_out,
        input=found,
        depth=depth,
        choice=choice,
    )
