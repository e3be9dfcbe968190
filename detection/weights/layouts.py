"""The networks in a file: a ResNet or a detector under any prefix of any entry.

A network is found by the names of its layers.  What stands before them is its prefix: ``module.``
of torch's DataParallel, ``encoder_q.`` of MoCo, ``backbone.`` of many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from detection.weights.entries import Entry

Kind = Literal[
    "msra",
    "torchvision",
    "torchvision, numbered",
    "torchvision's VGG",
    "transformers",
    "ours",
    "detectron2 backbone",
    "detectron2 detector",
    "mmdetection detector",
]

# A name that only networks of this kind have; then another that they need, if the first is short.
_MARKS: tuple[tuple[str, Kind, str], ...] = (
    ("roi_heads.box_predictor.cls_score.weight", "detectron2 detector", ""),
    ("proposal_generator.rpn_head.conv.weight", "detectron2 detector", ""),
    ("rpn_head.rpn_conv.weight", "mmdetection detector", ""),
    ("roi_head.bbox_head.fc_cls.weight", "mmdetection detector", ""),
    ("layer1.0.conv1.weight", "torchvision", ""),
    ("4.0.conv1.weight", "torchvision, numbered", "0.weight"),
    ("features.0.weight", "torchvision's VGG", "features.28.weight"),
    ("encoder.stages.0.layers.0.layer.0.convolution.weight", "transformers", ""),
    ("conv2.0.conv_a.conv.weight", "ours", ""),
    ("res2.0.conv1.weight", "detectron2 backbone", ""),
    ("conv1_w", "msra", ""),
)
# Enough to know a network that lacks the others, so that an error can say what is missing.
_WEAK_MARKS: tuple[tuple[str, Kind], ...] = (
    ("stem.conv1.weight", "detectron2 backbone"),
    ("conv1.weight", "torchvision"),
)
_INSIDE_A_BLOCK = re.compile(r"(^|\.)(\w*\d)\.\d+\.$|(^|\.)\d+\.$")

# Who keeps an average of a network keeps it because it is better: DINO's teacher, timm's and
# torchvision's EMA.  Those that trail behind only to make targets are not what is published.
_AVERAGES = frozenset(("ema", "teacher", "averaged", "average", "avg", "swa", "shadow"))
_TRAILING = frozenset(("momentum", "k", "key", "target"))
# "modelTeacher", "modelEMA": a word begins with a capital.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, kw_only=True)
class Network:
    """``prefix``: what stands before its names in ``entry``, "" or ending in a dot.

    ``is_certain``: whether it has a name that only such networks have.
    """

    kind: Kind
    entry: Entry
    prefix: str
    is_certain: bool = True

    @property
    def name(self) -> str:
        """Its entry and prefix, such as "state_dict.module.encoder_q"; "" in a bare state dict."""
        return ".".join((*self.entry.keys, self.prefix)).strip(".")

    def weights(self) -> dict[str, Tensor]:
        """Under its own names, as the file has them."""
        return {
            name.removeprefix(self.prefix): value
            for name, value in self.entry.weights.items()
            if name.startswith(self.prefix)
        }

    def rank(self) -> int:
        """0 for an average of weights, 1 for what was trained, 2 for what only trails behind."""
        words = {word.lower() for word in _WORDS.findall(self.name)}
        if "n_averaged" in self.entry.weights or words & _AVERAGES:
            return 0
        return 2 if words & _TRAILING else 1


def find_networks(entries: Sequence[Entry]) -> list[Network]:
    """All of them, in the order of the file; a backbone inside of a detector is not listed."""
    found: dict[tuple[tuple[str, ...], str], Network] = {}
    for entry in entries:
        for mark, kind, also in _MARKS:
            for prefix in _prefixes(entry, mark):
                if not also or prefix + also in entry.weights:
                    network = Network(kind=kind, entry=entry, prefix=prefix)
                    found.setdefault((entry.keys, prefix), network)
    networks = list(found.values()) or [
        Network(kind=kind, entry=entry, prefix=prefix, is_certain=False)
        for entry in entries
        for mark, kind in _WEAK_MARKS
        for prefix in _prefixes(entry, mark)
        if not _INSIDE_A_BLOCK.search(prefix) and not prefix.endswith("stem.")
    ]
    detectors = [n for n in networks if n.kind.endswith("detector")]
    return [
        n
        for n in networks
        if n in detectors
        or not any(d.entry is n.entry and n.prefix.startswith(d.prefix) for d in detectors)
    ]


def _prefixes(entry: Entry, mark: str) -> list[str]:
    ends = [name.removesuffix(mark) for name in entry.weights if name.endswith(mark)]
    return [prefix for prefix in ends if not prefix or prefix.endswith(".")]


def choose(networks: Sequence[Network], *, wanted: str | None, path: Path) -> Network:
    """The one that is ``wanted`` (its name or a part of it), or the best rank's.

    An average of weights goes before what was trained, and that before what only trails behind it.
    A "teacher" of other shapes than what was trained is no average of it: it has been distilled.
    Raises ValueError if two different ones are equally good, or none is meant.
    """
    if wanted is not None:
        part = f".{wanted.strip('.')}."
        fits = [n for n in networks if part in f".{n.name}."]
        exact = [n for n in fits if f".{n.name}." == part]
        fits = exact or fits
        if not fits:
            raise ValueError(f"{path}: entry={wanted} is none of its networks: {_names(networks)}")
    else:
        best = min(n.rank() for n in networks)
        fits = [n for n in networks if n.rank() == best]
        trained = [n for n in networks if n.rank() == 1]
        if best == 0 and not all(_alike(fits[0], other) for other in trained):
            fits = [*fits, *trained]
    if len(fits) > 1 and not all(_same(fits[0], other) for other in fits[1:]):
        raise ValueError(
            f"{path}: {len(fits)} different networks in it would do: {_names(fits)}; choose one "
            f"with weights_entry=..., or entry=... of detection import"
        )
    return fits[0]


def choice_of(networks: Sequence[Network], taken: Network) -> str:
    """Which of ``networks`` is taken and how another one is, in words; "" if there is no other."""
    others = [n for n in networks if n is not taken and not _same(n, taken)]
    if not others:
        return ""
    named = next((n.name for n in others if n.name), "...")
    return (
        f"{_names([taken])} is taken, and not {_names(others)} (to take that: "
        f"weights_entry={named}, or entry={named} of detection import)"
    )


def _names(networks: Sequence[Network]) -> str:
    return ", ".join(n.name or "the file itself" for n in networks)


def _alike(a: Network, b: Network) -> bool:
    """Whether ``a`` may be an average of ``b``: the layers that both have are alike."""
    first, second = a.weights(), b.weights()
    shared = first.keys() & second.keys()
    if a.kind != b.kind or not shared:
        return False
    same_shapes = all(first[name].shape == second[name].shape for name in shared)
    return same_shapes and _blocks(first) == _blocks(second)


def _blocks(weights: dict[str, Tensor]) -> set[str]:
    """The names of the convolutions of the blocks, whatever heads are beside them."""
    return {name for name in weights if re.search(r"\.\d+\.(conv|layer\.\d)", name)}


def _same(a: Network, b: Network) -> bool:
    first, second = a.weights(), b.weights()
    shared = first.keys() & second.keys()
    same_layers = bool(shared) and _blocks(first) == _blocks(second)
    return same_layers and all(torch.equal(first[name], second[name]) for name in shared)
