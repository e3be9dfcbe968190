"""Files of weights of other packages: read without running their code, and recognised."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from detection.weights.entries import Entry, beside, entries_of
from detection.weights.file_content import FileContent, mapping_of, read_content
from detection.weights.layouts import Kind, Network, choose, find_networks
from detection.weights.open_mmlab import class_names_of, input_of
from detection.weights.safe_pickle import Skipped

log = logging.getLogger(__name__)

# The first word of the names that belong to a network; whatever else it has are heads of its own.
_OWN: dict[str, str] = {
    "torchvision": r"(conv|bn|norm|gn|layer|stem)\d*\.",
    "torchvision, numbered": r"[0-7]\.",
    "torchvision's VGG": r"(features|classifier)\.",
    "transformers": r"(embedder|encoder)\.",
    "ours": r"(conv[1-5]|conv5_bn)\.",
    "detectron2 backbone": r"(stem|res\d|linear)\.",
}
# Wrappers around a classifier.  Under any other prefix ``fc`` is a projection (MoCo v1).
_WRAPPERS = frozenset(("", "module", "_orig_mod", "model", "net", "network", "resnet"))
# Where the classifier of such a backbone is.
_CLASSIFIERS = (("backbone.", "head.fc."), ("resnet.", "classifier.1."))

_PYRAMID = re.compile(r"(^|\.)(fpn_(lateral|output)\d|fpn\.\w+_blocks|neck\.\w*convs)\.")
_HEADS = re.compile(r"(^|\.)(rpn|rpn_head|roi_heads?|bbox_head|proposal_generator|head)\.")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file holds.

    ``weights``: of one network under its own names, without ``prefix``, in float32.
    ``left_out``: names of everything else.  ``author``: that of a detectron2 file.
    ``described``: what the file says of its input: the metadata of a safetensors file, or the
    same out of OpenMMLab's configuration.  ``class_names``: where the file says them.
    """

    path: Path
    kind: Kind
    weights: dict[str, Tensor]
    left_out: list[str]
    prefix: str = ""
    author: str = ""
    described: dict[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None


def open_source(path: Path, *, entry: str | None = None) -> Source:
    """Reads and recognises the file; see :func:`recognise`."""
    return recognise(read_content(path), entry=entry)


def recognise(content: FileContent, *, entry: str | None = None) -> Source:
    """The network in a file.

    ``entry``: the name, or a part of it, of the one that is meant where there are several.
    Raises ValueError for a file whose names belong to no known network.
    """
    path, tree = content.path, content.tree
    entries = entries_of(tree)
    networks = find_networks(entries)
    if not networks:
        raise ValueError(f"{path}: {_not_known(tree, entries)}")
    network = choose(networks, wanted=entry, path=path)
    if len(networks) > 1:
        others = ", ".join(n.name or "the file itself" for n in networks if n is not network)
        log.info(
            "%s: %s is taken, and not %s (entry= of import_weights.py chooses another)",
            path,
            network.name or "the file itself",
            others,
        )
    _check_is_c4(path, network)
    weights, left_out = _own_and_other(
        network, alone=sum(n.entry is network.entry for n in networks) == 1
    )
    top = mapping_of(tree) or {}
    return Source(
        path=path,
        kind=network.kind,
        weights={n: v.float() if v.is_floating_point() else v for n, v in weights.items()},
        left_out=[*beside(tree, network.entry.keys), *network.entry.other, *left_out],
        prefix=network.prefix,
        author=str(top.get("__author__", "")),
        described=content.described or input_of(top),
        class_names=class_names_of(top),
    )


def _own_and_other(network: Network, *, alone: bool) -> tuple[dict[str, Tensor], list[str]]:
    """(the network's weights and its classifier's as ``fc``, the names of the others)."""
    weights, every, prefix = network.weights(), network.entry.weights, network.prefix
    own = re.compile(_OWN.get(network.kind, ""))
    kept = {name: value for name, value in weights.items() if own.match(name)}
    used = {prefix + name for name in kept}
    if network.kind in ("torchvision", "transformers") and alone:
        for head in _classifier_prefixes(prefix):
            names = [name for name in every if name.startswith(head)]
            if names and {n.removeprefix(head) for n in names} <= {"weight", "bias"}:
                kept |= {f"fc.{name.removeprefix(head)}": every[name] for name in names}
                used |= set(names)
                break
    elif network.kind == "detectron2 backbone":
        fc = {name: value for name, value in weights.items() if name.startswith("stem.fc.")}
        kept |= fc
    return kept, [name for name in every if name not in used]


def _classifier_prefixes(prefix: str) -> list[str]:
    found = [f"{prefix}fc."] if set(prefix.split(".")) <= _WRAPPERS else []
    for backbone, classifier in _CLASSIFIERS:
        if f".{prefix}".endswith(f".{backbone}"):
            found.append(prefix.removesuffix(backbone) + classifier)
    return found


def _check_is_c4(path: Path, network: Network) -> None:
    """Raises ValueError for a network that looks like one of ours, and is none."""
    names = network.entry.weights
    pyramid = next((name for name in names if _PYRAMID.search(name)), None)
    if pyramid and any(_HEADS.search(name) for name in names):
        raise ValueError(
            f"{path}: {pyramid!r} is no parameter of a Faster R-CNN C4: this is a detector with a "
            "feature pyramid (FPN), whose layers were trained to feed five maps, and this network "
            "has one; take the ImageNet weights that it began with, or a C4 detector"
        )
    if network.kind == "msra" and any(
        n.startswith(("conv_rpn_w", "rpn_", "cls_score_")) for n in names
    ):
        raise ValueError(
            f"{path}: a detector of Caffe2's Detectron, whose boxes are a pixel wider than "
            "everybody else's; only its ImageNet weights are imported"
        )
    stem = [
        f"{network.prefix}{name}.weight" for name in ("conv1.0", "conv2", "stem.0", "stem.0.conv")
    ]
    deep = next((name for name in stem if name in names), None)
    if network.kind == "torchvision" and deep:
        raise ValueError(
            f"{path}: {deep!r} is one of several convolutions in the place of conv1 (a deep stem, "
            "as in timm's resnet50d and ResNet-v1c): the paper's ResNet has one, of 7x7; take "
            "weights of a plain ResNet"
        )


def _not_known(tree: Any, entries: Sequence[Entry]) -> str:
    if isinstance(tree, Skipped):
        return (
            f"a pickled {tree.kind}, which needs its own code to be read: save its state_dict() "
            "where that code is"
        )
    items = mapping_of(tree)
    if items is None:
        return f"holds a {type(tree).__name__}, not weights by their names"
    objects = [f"{k} is a pickled {v.kind}" for k, v in items.items() if isinstance(v, Skipped)]
    held = [_contents(entry) for entry in entries] or [", ".join(map(str, items)) or "nothing"]
    return (
        "not the weights of a ResNet or of a Faster R-CNN C4 in a known scheme of names "
        f"(it holds {'; '.join([*held, *objects])})"
    )


def _contents(entry: Entry) -> str:
    """The names at the start of an entry, with their numbers: "model: blocks.* (12)"."""
    where = f"{'.'.join(entry.keys)}: " if entry.keys else ""
    return where + ", ".join(summarised(list(entry.weights))[:6])


def summarised(names: Sequence[str]) -> list[str]:
    """``names``, those of one module together: "module.queue", "module.encoder_k.* (265)"."""
    groups: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(" ")[0].split(".")
        depth = 1 + next((i for i, p in enumerate(parts) if p not in _WRAPPERS), 0)
        groups.setdefault(".".join(parts[:depth]) if len(parts) > depth else name, []).append(name)
    return [
        f"{group}.* ({len(members)})" if len(members) > 3 else ", ".join(members)
        for group, members in groups.items()
    ]
