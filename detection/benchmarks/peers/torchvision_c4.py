"""torchvision as a peer: its parts of Faster R-CNN, assembled as the same C4 network.

torchvision has no C4 detector, but it has all of its parts: a ResNet (here with frozen BN as
separate operations), a RegionProposalNetwork and RoIHeads.  Strides, anchors, sizes of the RPN,
thresholds and weights are taken from the given model, so that the outputs are equal.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import roi_align, roi_pool

from detection import boxes as box_ops
from detection.benchmarks.peers import torchvision_resnet, torchvision_rpn
from detection.benchmarks.stages import Stages
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.pixels import PixelFormat
from detection.model.resnet import Bottleneck, ResNet
from detection.model.roi_head import RoIHead
from detection.structures import Detections, ImageBatch, Target


class TorchvisionC4(nn.Module):
    """The same function as ``model``, in torchvision's parts and with copies of its weights.

    ``pixels``, ``body`` (conv1 ... conv4), ``rpn`` and ``roi_heads`` are called one after the
    other, because torchvision's GeneralizedRCNN would resize the images first.
    In training, other anchors and regions are sampled at random, and smooth L1 always has
    sigma = 3.
    """

    def __init__(self, model: FasterRCNN, post_processing: PostProcessing) -> None:
        super().__init__()
        backbone = model.backbone
        if not isinstance(backbone, ResNet) or not isinstance(backbone.conv2[0], Bottleneck):
            raise ValueError("torchvision's C4 network is assembled of bottleneck ResNets alone")
        resnet = torchvision_resnet.as_torchvision(backbone)
        self.pixels: PixelFormat = model.pixels
        self.body = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool,
            resnet.layer1, resnet.layer2, resnet.layer3,
        )  # fmt: skip
        self.rpn = torchvision_rpn.as_torchvision(model.rpn)
        self.roi_heads = _roi_heads(model, _Conv5(resnet.layer4), post_processing)
        self.train(model.training)

    def features(self, images: ImageBatch) -> Tensor:
        """The shared features [N, feature_channels, h, w]."""
        features: Tensor = self.body(self.pixels(images))
        return features

    def probabilities(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """Class probabilities [R, C + 1] of the regions [L, 4] of each image, background first."""
        heads = self.roi_heads
        pooled = heads.box_roi_pool({"0": features}, boxes, [])
        logits, _ = heads.box_predictor(heads.box_head(pooled))
        probabilities: Tensor = logits.softmax(dim=1)
        return probabilities

    def stages(self) -> Stages:
        heads = self.roi_heads
        return {
            "backbone": [(self.pixels, "forward"), (self.body, "forward")],
            "RPN": [(self.rpn, "forward")],
            "pooling": [(heads.box_roi_pool, "forward")],
            "conv5 head": [(heads.box_head, "forward"), (heads.box_predictor, "forward")],
        }

    def detect(self, images: ImageBatch) -> list[Detections]:
        """Detections in the pixels of the batch, best first."""
        pixels = self.pixels(images)
        features = OrderedDict([("0", self.body(pixels))])
        proposals, _ = self.rpn(ImageList(pixels, images.sizes), features)
        found, _ = self.roi_heads(features, proposals, images.sizes)
        return [Detections(one["boxes"], one["scores"], one["labels"]) for one in found]

    def losses(self, images: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """The four losses of one mini-batch, under the names of our ``Losses``."""
        pixels = self.pixels(images)
        features = OrderedDict([("0", self.body(pixels))])
        wanted = [{"boxes": target.boxes, "labels": target.labels} for target in targets]
        proposals, of_rpn = self.rpn(ImageList(pixels, images.sizes), features, wanted)
        _, of_head = self.roi_heads(features, proposals, images.sizes, wanted)
        return {
            "rpn_objectness": of_rpn["loss_objectness"],
            "rpn_box": of_rpn["loss_rpn_box_reg"],
            "head_class": of_head["loss_classifier"],
            "head_box": of_head["loss_box_reg"],
        }


class _Pooling(nn.Module):
    """RoIPool or RoIAlign in place of the MultiScaleRoIAlign of torchvision's RoIHeads."""

    def __init__(self, kind: Literal["roi_pool", "roi_align"], bins: int, scale: float) -> None:
        super().__init__()
        self.kind, self.bins, self.scale = kind, bins, scale

    def forward(
        self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        level = features["0"]
        # torchvision's kernels have no bfloat16.
        given = level.float() if level.dtype == torch.bfloat16 else level
        if self.kind == "roi_align":
            pooled = roi_align(given, boxes, self.bins, self.scale, sampling_ratio=0, aligned=True)
        else:
            # Its corners are Caffe's: the last pixel, where ours are edges.
            corners = [box_ops.with_last_pixels(image) for image in boxes]
            pooled = roi_pool(given, corners, self.bins, self.scale)
        return pooled.to(level.dtype)


class _Conv5(nn.Module):
    def __init__(self, layer4: nn.Module) -> None:
        super().__init__()
        self.layer4 = layer4

    def forward(self, pooled: Tensor) -> Tensor:
        return self.layer4(pooled).mean(dim=(2, 3))


def _roi_heads(model: FasterRCNN, conv5: nn.Module, rule: PostProcessing) -> RoIHeads:
    head = model.roi_head
    assert isinstance(head, RoIHead)
    predictor = FastRCNNPredictor(head.logits.in_features, head.num_classes + 1)
    with torch.no_grad():
        predictor.cls_score.load_state_dict(head.logits.state_dict())
        # torchvision also regresses a box for the background, and ignores it.
        predictor.bbox_pred.weight.zero_()[4:] = head.deltas.weight
        predictor.bbox_pred.bias.zero_()[4:] = head.deltas.bias
    return RoIHeads(
        _Pooling(head.pooling, head.pooled_size, 1 / model.backbone.stride),
        conv5,
        predictor,
        fg_iou_thresh=head.sampling.foreground_iou,
        bg_iou_thresh=head.sampling.foreground_iou,
        batch_size_per_image=head.sampling.per_image,
        positive_fraction=head.sampling.foreground_fraction,
        bbox_reg_weights=head.box_weights,
        score_thresh=rule.score_threshold,
        nms_thresh=rule.nms_iou,
        detections_per_img=rule.per_image,
    )
