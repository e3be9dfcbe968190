"""A parameter of a ResNet by its stage, block and layer in table 1, whatever a file calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The parameters of a BN layer.  Only trained layers have the last one, which counts batches.
BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_OURS = re.compile(
    r"conv(?P<stage>[1-5])\.(?:(?P<block>\d+)\.(?P<layer>conv_[abc]|shortcut)\.)?"
    r"(?P<kind>conv|bn)\.(?P<parameter>\w+)"
)


@dataclass(frozen=True)
class Parameter:
    """One tensor.

    ``stage``: 1 ... 5 for conv1 ... conv5_x.  ``block``: from 0 on; 0 in conv1.
    ``layer``: 0, 1, 2 for a block's convolutions a, b, c; -1 for the projection of its shortcut.
    ``kind``: "conv" or "bn".  ``name``: as in torch, such as "weight" or "running_mean".
    Raises ValueError for a name that this kind of layer does not have.
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
        """Our name, such as conv3.0.conv_b.bn.weight."""
        if self.stage == 1:
            return f"conv1.{self.kind}.{self.name}"
        layer = "shortcut" if self.layer < 0 else f"conv_{'abc'[self.layer]}"
        return f"conv{self.stage}.{self.block}.{layer}.{self.kind}.{self.name}"

    @classmethod
    def parse(cls, ours: str) -> Parameter | None:
        """The inverse of :meth:`ours`; None for a name that is not in one of the five stages."""
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
