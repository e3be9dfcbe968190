"""Files of weights of other packages: read without running their code, and recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from detection.weights.entries import Entry, beside, entries_of
from detection.weights.file_content import FileContent, mapping_of, read_content
from detection.weights.layouts import Kind, Network, choice_of, choose, find_networks
from detection.weights.open_mmlab import class_names_of, input_of
from detection.weights.other_networks import OURS, family_of, is_pickled_yolo, variant_of
from detection.weights.safe_pickle import Skipped

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
_WITH_PYRAMID = (
    ("a Mask R-CNN", re.compile(r"(^|\.)mask_(head|predictor)\.")),
    ("a Keypoint R-CNN", re.compile(r"(^|\.)keypoint_(head|predictor)\.")),
    ("a RetinaNet", re.compile(r"(^|\.)(retina_cls|head\.cls_subnet|head\.classification_head)\.")),
    ("a Faster R-CNN", re.compile(r"(^|\.)(roi_heads?|bbox_head\.fc_cls)\.")),
)
_HEADS = re.compile(r"(^|\.)(rpn|rpn_head|roi_heads?|bbox_head|proposal_generator|head)\.")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file holds.

    ``weights``: of one network under its own names, without ``prefix``, in float32.
    ``left_out``: names of everything else.  ``author``: that of a detectron2 file.
    ``described``: what the file says of its input: the metadata of a safetensors file, or the
    same out of OpenMMLab's configuration.  ``class_names``: where the file says them.
    ``choice``: which of several networks this one is, in words; "" if there is no other.
    """

    path: Path
    kind: Kind
    weights: dict[str, Tensor]
    left_out: list[str]
    prefix: str = ""
    author: str = ""
    described: dict[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    choice: str = ""


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
    if not any(network.is_certain for network in networks):
        _check_is_no_other_family(path, entries)
    if not networks:
        raise ValueError(f"{path}: {_not_known(tree, entries)}")
    network = choose(networks, wanted=entry, path=path)
    _check_is_ours(path, network)
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
        choice=choice_of(networks, network),
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


def _check_is_no_other_family(path: Path, entries: Sequence[Entry]) -> None:
    family = family_of([name for entry in entries for name in (*entry.weights, *entry.other)])
    if family:
        raise ValueError(f"{path}: this is {family}; {OURS}")


def _check_is_ours(path: Path, network: Network) -> None:
    """Raises ValueError for a network that looks like one of ours, and is none."""
    names = network.entry.weights
    pyramid = next((name for name in names if _PYRAMID.search(name)), None)
    if pyramid and any(_HEADS.search(name) for name in names):
        what = next((what for what, part in _WITH_PYRAMID if any(map(part.search, names))), "")
        raise ValueError(
            f"{path}: this is {what or 'a detector'} with a feature pyramid (FPN): {pyramid!r} is "
            "no parameter of a Faster R-CNN C4; the layers below a feature pyramid were trained to "
            "feed five maps, and this network has one: take the ImageNet weights that it began "
            "with, or a C4 detector"
        )
    if network.kind == "msra" and any(
        n.startswith(("conv_rpn_w", "rpn_", "cls_score_")) for n in names
    ):
        raise ValueError(
            f"{path}: a detector of Caffe2's Detectron, whose boxes are a pixel wider than "
            "everybody else's; only its ImageNet weights are imported"
        )
    variant = variant_of(network.kind, network.weights(), prefix=network.prefix)
    if variant:
        raise ValueError(f"{path}: this is {variant}; {OURS}")


def _not_known(tree: Any, entries: Sequence[Entry]) -> str:
    if isinstance(tree, Skipped):
        return (
            f"{_yolo(tree.kind)}a pickled {tree.kind}, which needs its own code to be read: save "
            "its state_dict() where that code is"
        )
    items = mapping_of(tree)
    if items is None:
        return f"holds a {type(tree).__name__}, not weights by their names"
    if not items:
        return "it is empty: there are no weights in it"
    objects = [f"{k} is a pickled {v.kind}" for k, v in items.items() if isinstance(v, Skipped)]
    network = next((k for k in ("model", "ema", "net", "state_dict") if _is_object(items, k)), None)
    if network and not entries:
        kind = items[network].kind
        return (
            f"{_yolo(kind)}its {network} is a pickled {kind}, which needs its own code to be "
            "read: save its state_dict() where that code is"
        )
    held = [_contents(entry) for entry in entries] or [", ".join(map(str, items))]
    return (
        "not the weights of a ResNet or of a Faster R-CNN C4 in a known scheme of names "
        f"(it holds {'; '.join([*held, *objects])})"
    )


def _is_object(items: Mapping[Any, Any], key: str) -> bool:
    return isinstance(items.get(key), Skipped) and not items[key].items


def _yolo(kind: str) -> str:
    return f"this is a YOLO detector, and {OURS}; " if is_pickled_yolo(kind) else ""


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
