"""mmdetection's C4 detectors (faster-rcnn_r50-caffe-c4), of its versions 2 and 3: names -> ours.

| | mmdetection | here |
|---|---|---|
| classes | background last | background first |
| anchors at a position | ratios, and in each the sizes | the same |
| deltas | class by class, anchor by anchor: dx, dy, dw, dh | the same |
| conv5_x | in the head, ``roi_head.shared_head.layer4`` | in the backbone |
| BN | counts batches, though it is fixed | fixed |
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from detection.weights.parameter import Parameter
from detection.weights.torchvision import from_torchvision, torchvision_name

_HEADS = {
    "rpn_head.rpn_conv.": "rpn.conv.",
    "rpn_head.rpn_cls.": "rpn.objectness.",
    "rpn_head.rpn_reg.": "rpn.deltas.",
    "roi_head.bbox_head.fc_cls.": "roi_head.logits.",
    "roi_head.bbox_head.fc_reg.": "roi_head.deltas.",
}
_CONV5 = "roi_head.shared_head."
_LEFT_OUT = ("roi_head.mask_head.", "data_preprocessor.")


def from_mmdetection(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A C4 detector's state dict -> (ours, the names left out).

    Left out are mask heads and BN's batch counters.  Raises ValueError for any other name.
    """
    renamed, left_out = {}, []
    for name, value in weights.items():
        if name.startswith(_LEFT_OUT) or name.endswith("num_batches_tracked"):
            left_out.append(name)
            continue
        ours = _our_name(name)
        renamed[ours] = value.roll(1, dims=0) if ours.startswith("roi_head.logits.") else value
    return renamed, left_out


def mmdetection_name(ours: str) -> str:
    """mmdetection's name of a detector's parameter; ours where its C4 does not have it."""
    for theirs, prefix in _HEADS.items():
        if ours.startswith(prefix):
            return theirs + ours.removeprefix(prefix)
    parameter = Parameter.parse(ours.removeprefix("backbone."))
    if parameter is None:
        return ours
    return (_CONV5 if parameter.stage == 5 else "backbone.") + torchvision_name(parameter)


def _our_name(name: str) -> str:
    for theirs, ours in _HEADS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if name.startswith(("bbox_head.", "shared_head.")):
        raise ValueError(
            f"{name!r} is of mmdetection 1, which has the background first and draws its boxes a "
            "pixel wider: its own tools/model_converters upgrade the file to version 2"
        )
    prefix = next((p for p in ("backbone.", _CONV5) if name.startswith(p)), None)
    rest = name.removeprefix(prefix or "")
    if prefix is None or rest.startswith("layer4.") != (prefix == _CONV5):
        raise ValueError(f"{name!r} is no parameter of mmdetection's Faster R-CNN C4")
    try:
        return f"backbone.{next(iter(from_torchvision({rest: 0})[0]))}"  # type: ignore[dict-item]
    except ValueError:
        raise ValueError(f"{name!r} is no parameter of mmdetection's Faster R-CNN C4") from None
