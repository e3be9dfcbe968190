"""4-step alternating training: one of the detector's two networks (Ren et al. 2015, section 3.2).

The steps: the RPN; Fast R-CNN on its proposals; the RPN again, on Fast R-CNN's shared layers; Fast
R-CNN again, on the new proposals and the same shared layers.  In the last two steps the shared
layers are fixed and only the layers unique to the network are learnt, so that in the end one
detector carries both networks.
"""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import HeadLosses, ImageBatch, RPNLosses, Target

Network = Literal["rpn", "fast_rcnn"]


class RPNAlone(nn.Module):
    """The losses of the RPN alone, of mini-batches as :class:`FasterRCNN` takes them."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: ImageBatch, targets: list[Target]) -> RPNLosses:
        detector = self.detector
        found = []
        for group, group_targets in detector.groups(images, targets):
            features = detector.features(group)
            logits, deltas = detector.rpn(features)
            anchors = detector.anchors(features)
            found.append(detector.rpn.losses(logits, deltas, anchors, group.sizes, group_targets))
        return detector.rpn_losses(found)


class FastRCNNAlone(nn.Module):
    """The losses of Fast R-CNN alone, on the proposals that ``targets`` carry."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: ImageBatch, targets: list[Target]) -> HeadLosses:
        detector = self.detector
        found = []
        for group, group_targets in detector.groups(images, targets):
            proposals = [t.proposals for t in group_targets if t.proposals is not None]
            assert len(proposals) == len(group)
            features = detector.features(group)
            found.append(detector.learnt_regions(features, group.sizes, proposals, group_targets))
        return detector.head_losses(found)


def network_to_train(
    detector: FasterRCNN, *, train_only: Network | None, shared_fixed: bool
) -> nn.Module:
    """The network of ``detector`` that is trained: it shares its parameters and gives its losses.

    All other parameters are fixed, so that neither an optimizer nor a process group waits for their
    gradients.

    ``train_only``: None for joint training of both networks.
    ``shared_fixed``: whether the layers that both networks use are fixed too.
    Raises ValueError for another ``train_only``, and for one network alone on BN that learns.
    """
    if train_only not in (None, "rpn", "fast_rcnn"):
        raise ValueError(f"train_only must be rpn, fast_rcnn or null, got {train_only!r}")
    backbone, head = detector.backbone, detector.roi_head
    assert isinstance(backbone, nn.Module)
    assert isinstance(head, nn.Module)
    if train_only and any(isinstance(layer, _BatchNorm) for layer in backbone.modules()):
        raise ValueError(
            f"train_only={train_only} needs BN that is fixed (model.backbone.norm=frozen): its "
            "statistics would go on changing in layers that both networks share"
        )
    of_regions = tuple(f"{layer}." for layer in backbone.region_layers)
    for name, parameter in backbone.named_parameters():
        fixed = train_only == "rpn" if name.startswith(of_regions) else shared_fixed
        if fixed:
            parameter.requires_grad_(False)
    if train_only == "rpn":
        head.requires_grad_(False)
        return RPNAlone(detector)
    if train_only == "fast_rcnn":
        detector.rpn.requires_grad_(False)
        return FastRCNNAlone(detector)
    return detector
