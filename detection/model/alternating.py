"""The two halves of the detector, each trained by itself (Ren et al. 2015, section 3.2).

4-step alternating training takes them in turns: the RPN; Fast R-CNN on its proposals; the RPN
again, on Fast R-CNN's shared layers; Fast R-CNN again, on the new proposals and the same shared
layers.  In the last two steps "the shared conv layers" are fixed and only the layers unique to the
half are learnt, so that in the end one network carries both.
"""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import HeadLosses, ImageBatch, RPNLosses, Target

Part = Literal["joint", "rpn", "fast_rcnn"]


class RPNAlone(nn.Module):
    """The losses of the RPN alone, of mini-batches as :class:`FasterRCNN` takes them."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: ImageBatch, targets: list[Target]) -> RPNLosses:
        features = self.detector.features(images)
        logits, deltas = self.detector.rpn(features)
        anchors = self.detector.anchors(features)
        return RPNLosses(*self.detector.rpn.losses(logits, deltas, anchors, images.sizes, targets))


class FastRCNNAlone(nn.Module):
    """The losses of Fast R-CNN alone, on the proposals that ``targets`` carry."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: ImageBatch, targets: list[Target]) -> HeadLosses:
        proposals = [target.proposals for target in targets if target.proposals is not None]
        assert len(proposals) == len(targets)
        features = self.detector.features(images)
        return HeadLosses(*self.detector.head_losses(features, images.sizes, proposals, targets))


def trained_part(detector: FasterRCNN, *, part: Part, shared_fixed: bool) -> nn.Module:
    """What is trained of ``detector``: a module that shares its parameters and gives its losses.

    Everything else is fixed, so that neither an optimizer nor a process group waits for its
    gradients.  ``shared_fixed``: so are the layers that both halves use.
    """
    if part not in ("joint", "rpn", "fast_rcnn"):
        raise ValueError(f"train_only must be rpn, fast_rcnn or null, got {part!r}")
    backbone = detector.backbone
    assert isinstance(backbone, nn.Module)
    if part != "joint" and any(isinstance(layer, _BatchNorm) for layer in backbone.modules()):
        raise ValueError(
            f"part={part} needs BN that is fixed (model.backbone.norm=frozen): its statistics "
            "would go on changing in layers that both halves share"
        )
    for name, layer in backbone.named_children():
        in_regions = name in backbone.region_layers
        if (in_regions and part == "rpn") or (not in_regions and shared_fixed):
            layer.requires_grad_(False)
    if part == "rpn":
        detector.roi_head.requires_grad_(False)
        return RPNAlone(detector)
    if part == "fast_rcnn":
        detector.rpn.requires_grad_(False)
        return FastRCNNAlone(detector)
    return detector
