"""A parameter of a ResNet by its place in the paper: what all schemes of names have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of a BN layer; the last one counts batches and is in trained layers alone.
BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_OURS = re.compile(
    r"conv(?P<stage>[1-5])\.(?:(?P<block>\d+)\.(?P<layer>conv_[abc]|shortcut)\.)?"
    r"(?P<kind>conv|bn)\.(?P<parameter>\w+)"
)


@dataclass(frozen=True)
class Parameter:
    """``stage``: 1 ... 5, of conv1 ... conv5_x.  ``block``: in conv2_x ... conv5_x, from 0 on.

    ``layer``: 0, 1, 2 for a block's convolutions a, b, c; -1 for the projection of its shortcut.
    ``kind``: "conv" or "bn".  ``name``: as in torch, "weight", "running_mean".
    """

    stage: int
    block: int
    layer: int
    kind: str
    name: str

    def __post_init__(self) -> None:
        if self.name not in (("weight",) if self.kind == "conv" else BN):
            raise ValueError(f"a {self.kind} has no {self.name!r}")

    def ours(self) -> str:
        """conv3.0.conv_b.bn.weight"""
        if self.stage == 1:
            return f"conv1.{self.kind}.{self.name}"
        layer = "shortcut" if self.layer < 0 else f"conv_{'abc'[self.layer]}"
        return f"conv{self.stage}.{self.block}.{layer}.{self.kind}.{self.name}"

    @classmethod
    def parse(cls, ours: str) -> Parameter | None:
        """The inverse of :meth:`ours`; None for what is no parameter of the five stages."""
        found = _OURS.fullmatch(ours)
        if not found or (found["stage"] == "1") != (found["block"] is None):
            return None
        layer = found["layer"] or "conv_a"
        return cls(
            stage=int(found["stage"]),
            block=int(found["block"] or 0),
            layer=-1 if layer == "shortcut" else "abc".index(layer[-1]),
            kind=found["kind"],
            name=found["parameter"],
        )
