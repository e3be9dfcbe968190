"""torchvision's RegionProposalNetwork with the anchors, rules and weights of an RPN of ours."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from detection.model.anchors import Anchors
from detection.model.rpn import RPN


class _Anchors(nn.Module):
    """Our anchors in place of torchvision's AnchorGenerator, which centres them elsewhere."""

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.anchors = anchors

    def num_anchors_per_location(self) -> list[int]:
        return [self.anchors.per_position]

    def forward(self, images: ImageList, features: list[Tensor]) -> list[Tensor]:
        height, width = features[0].shape[-2:]
        return [self.anchors((height, width), features[0].device)] * len(images.image_sizes)


class _RPNHead(nn.Module):
    """torchvision's RPNHead, with our number of hidden channels."""

    def __init__(self, rpn: RPN) -> None:
        super().__init__()
        self.conv, self.cls_logits, self.bbox_pred = map(
            _copied, (rpn.conv, rpn.objectness, rpn.deltas)
        )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        hidden = [torch.relu_(self.conv(level)) for level in features]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]


def _copied(layer: nn.Module) -> nn.Conv2d:
    assert isinstance(layer, nn.Conv2d)
    copy = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        padding=layer.padding,  # type: ignore[arg-type]
    )
    copy.load_state_dict(layer.state_dict())
    return copy


def as_torchvision(rpn: RPN) -> RegionProposalNetwork:
    training, test = rpn.training_proposals, rpn.test_proposals
    network = RegionProposalNetwork(
        _Anchors(rpn.anchors),  # type: ignore[arg-type]
        _RPNHead(rpn),
        fg_iou_thresh=rpn.sampling.positive_iou,
        bg_iou_thresh=rpn.sampling.negative_iou,
        batch_size_per_image=rpn.sampling.per_image,
        positive_fraction=rpn.sampling.positive_fraction,
        pre_nms_top_n={
            "training": training.before_nms or sys.maxsize,
            "testing": test.before_nms or sys.maxsize,
        },
        post_nms_top_n={"training": training.after_nms, "testing": test.after_nms},
        nms_thresh=test.nms_iou,
    )
    network.min_size = max(test.min_size, 1e-3)
    return network
