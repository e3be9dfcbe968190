"""The ResNets of transformers (microsoft/resnet-50): their names <-> torchvision's."""

from __future__ import annotations

import re

_LAYER = re.compile(
    r"encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d+)\."
    r"(?:layer\.(?P<layer>[0-2])|(?P<shortcut>shortcut))\."
    r"(?P<kind>convolution|normalization)\.(?P<parameter>\w+)"
)
_STEM = re.compile(r"embedder\.embedder\.(?P<kind>convolution|normalization)\.(?P<parameter>\w+)")


def from_transformers(name: str) -> str:
    """encoder.stages.1.layers.0.layer.2.normalization.bias -> layer2.0.bn3.bias.

    The classifier's ``fc`` stays.  Raises ValueError for a name that these networks do not have.
    """
    if name.startswith("fc."):
        return name
    if stem := _STEM.fullmatch(name):
        return f"{'conv' if stem['kind'] == 'convolution' else 'bn'}1.{stem['parameter']}"
    found = _LAYER.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is no parameter of transformers' ResNets")
    convolution = found["kind"] == "convolution"
    block = f"layer{int(found['stage']) + 1}.{found['block']}"
    if found["shortcut"]:
        return f"{block}.downsample.{0 if convolution else 1}.{found['parameter']}"
    layer = f"{'conv' if convolution else 'bn'}{int(found['layer']) + 1}"
    return f"{block}.{layer}.{found['parameter']}"


def transformers_name(torchvision: str) -> str:
    """The inverse, without the classifier."""
    layer, _, parameter = torchvision.rpartition(".")
    kind = "normalization" if "bn" in layer or layer.endswith("downsample.1") else "convolution"
    if layer in ("conv1", "bn1"):
        return f"embedder.embedder.{kind}.{parameter}"
    stage, block, inner, *_ = layer.split(".")
    where = "shortcut" if inner == "downsample" else f"layer.{int(inner[-1]) - 1}"
    start = f"encoder.stages.{int(stage[-1]) - 1}.layers.{block}"
    return f"{start}.{where}.{kind}.{parameter}"
