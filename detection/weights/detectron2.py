"""detectron2's C4 detectors and backbones: its names and orders <-> ours.

| | detectron2 | here |
|---|---|---|
| classes | background last | background first |
| anchors at a position | sizes, and in each the ratios | ratios, and in each the sizes |
| deltas | class by class, anchor by anchor: dx, dy, dw, dh | the same |
| conv5_x | in the heads, ``roi_heads.res5`` | in the backbone |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from detection.weights.parameter import Parameter

_RESNET = re.compile(
    r"(?:stem|res(?P<stage>[2-5])\.(?P<block>\d+))\.(?P<layer>conv[123]|shortcut)"
    r"(?P<norm>\.norm)?\.(?P<parameter>\w+)"
)
# The BN that MoCo's protocol adds behind conv5_x.
_EXTRA = {"roi_heads.res5.norm.": "backbone.conv5_bn."}
_HEADS = {
    "proposal_generator.rpn_head.conv.": "rpn.conv.",
    "proposal_generator.rpn_head.objectness_logits.": "rpn.objectness.",
    "proposal_generator.rpn_head.anchor_deltas.": "rpn.deltas.",
    "roi_heads.box_predictor.cls_score.": "roi_head.logits.",
    "roi_heads.box_predictor.bbox_pred.": "roi_head.deltas.",
}
_NAMES = {**_EXTRA, **_HEADS}
# What a C4 file may hold besides its detector: masks, and constants that are in the configuration.
_LEFT_OUT = re.compile(
    r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+|"
    r"roi_heads\.mask_head\..+"
)
_CLASSIFIER = {"linear.": "fc.", "stem.fc.": "fc."}


def from_detectron2(
    weights: Mapping[str, Tensor], *, sizes: int, ratios: int
) -> tuple[dict[str, Tensor], list[str]]:
    """A C4 detector's state dict -> (ours, the names left out).

    ``sizes``, ``ratios``: numbers of anchor sizes and aspect ratios.  Left out are mask heads and
    the constants of pixels and anchors.  Raises ValueError for any other name.
    """
    renamed, left_out = {}, []
    for name, value in weights.items():
        if _LEFT_OUT.fullmatch(name):
            left_out.append(name)
        else:
            ours = _detector_name(name)
            renamed[ours] = _reordered(ours, value, name, sizes, ratios, inwards=True)
    return renamed, left_out


def to_detectron2(weights: Mapping[str, Tensor], *, sizes: int, ratios: int) -> dict[str, Tensor]:
    """The inverse of :func:`from_detectron2`, bit for bit.

    Raises ValueError for a layer that detectron2's C4 does not have.
    """
    return {
        detectron2_name(ours): _reordered(ours, value, ours, sizes, ratios, inwards=False)
        for ours, value in weights.items()
    }


def backbone_from_detectron2(
    weights: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], list[str]]:
    """An ImageNet ResNet under detectron2's names -> (ours: a classifier's, the names left out).

    The classifier is ``stem.fc`` in files of MoCo's and torchvision's conversion scripts, and
    ``linear`` in those of detectron2's ResNet.  A projection of several layers (MoCo v2's
    ``stem.fc.0``) is left out.
    """
    renamed, left_out = {}, []
    for name, value in weights.items():
        prefix = next((p for p in _CLASSIFIER if name.startswith(p)), None)
        if prefix is None:
            renamed[f"backbone.{_resnet_name(name)}"] = value
        elif name.removeprefix(prefix) in ("weight", "bias"):
            renamed[_CLASSIFIER[prefix] + name.removeprefix(prefix)] = value
        else:
            left_out.append(name)
    return renamed, left_out


def detectron2_name(ours: str) -> str:
    """detectron2's name of a detector's parameter; ValueError if its C4 does not have it."""
    for theirs, prefix in _NAMES.items():
        if ours.startswith(prefix):
            return theirs + ours.removeprefix(prefix)
    parameter = Parameter.parse(ours.removeprefix("backbone."))
    if parameter is None or not ours.startswith("backbone."):
        raise ValueError(f"{ours!r} has no counterpart in detectron2's Faster R-CNN C4")
    return ("roi_heads." if parameter.stage == 5 else "backbone.") + layer_name(parameter)


def layer_name(parameter: Parameter) -> str:
    """detectron2's name in a backbone, such as res3.0.conv2.norm.weight."""
    block = "stem" if parameter.stage == 1 else f"res{parameter.stage}.{parameter.block}"
    layer = "shortcut" if parameter.layer < 0 else f"conv{parameter.layer + 1}"
    norm = ".norm" if parameter.kind == "bn" else ""
    return f"{block}.{layer}{norm}.{parameter.name}"


def _detector_name(name: str) -> str:
    for theirs, ours in _NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    prefix, _, rest = name.partition(".")
    # conv5_x of a C4 detector is in its heads, the other stages are in its backbone.
    if (prefix, rest.startswith("res5.")) in (("backbone", False), ("roi_heads", True)):
        return f"backbone.{_resnet_name(rest, shown=name)}"
    raise ValueError(f"{name!r} is no parameter of detectron2's Faster R-CNN C4")


def _resnet_name(name: str, *, shown: str | None = None) -> str:
    found = _RESNET.fullmatch(name)
    try:
        if not found:
            raise ValueError
        layer = found["layer"]
        return Parameter(
            stage=int(found["stage"] or 1),
            block=int(found["block"] or 0),
            layer=-1 if layer == "shortcut" else int(layer[-1]) - 1,
            kind="bn" if found["norm"] else "conv",
            name=found["parameter"],
        ).ours()
    except ValueError:
        raise ValueError(
            f"{shown or name!r} is no parameter of detectron2's ResNets (C4, not FPN)"
        ) from None


def _reordered(
    ours: str, value: Tensor, shown: str, sizes: int, ratios: int, *, inwards: bool
) -> Tensor:
    """Anchors and classes in our order instead of detectron2's; ``inwards=False``: the inverse."""
    if ours.startswith("roi_head.logits."):
        return value.roll(1 if inwards else -1, dims=0)
    if not ours.startswith(("rpn.objectness.", "rpn.deltas.")):
        return value
    per_anchor = 4 if ours.startswith("rpn.deltas.") else 1
    if value.ndim == 0 or len(value) != per_anchor * sizes * ratios:
        raise ValueError(
            f"{shown} is {list(value.shape)}, for {sizes} sizes x {ratios} ratios of anchors its "
            f"first dimension must be {per_anchor * sizes * ratios}; give the anchors that it was "
            "trained on (anchor_sizes= and aspect_ratios= of import)"
        )
    outer, inner = (sizes, ratios) if inwards else (ratios, sizes)
    grouped = value.reshape(outer, inner, per_anchor, *value.shape[1:])
    return torch.transpose(grouped, 0, 1).reshape(value.shape).contiguous()
