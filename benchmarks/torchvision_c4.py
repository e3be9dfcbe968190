"""The peer that is always there: torchvision's Faster R-CNN, assembled as the same C4 network.

torchvision has no C4 detector, but all its parts: its ResNet with frozen BN as operations of their
own, its RegionProposalNetwork and its RoIHeads.  What differs from its defaults is set to what the
given model has (where it strides, anchors, sizes of the RPN, thresholds), and it takes over the
model's weights: the outputs must be equal, and only then is it a race.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import FrozenBatchNorm2d, roi_align, roi_pool

from benchmarks.measuring import Stages
from detection.inference.post_processing import PostProcessing
from detection.model.anchors import Anchors
from detection.model.faster_rcnn import FasterRCNN
from detection.model.pixels import PixelFormat
from detection.model.resnet import STAGES, Bottleneck, ResNet
from detection.model.rpn import RPN
from detection.structures import Detections, ImageBatch, Target
from detection.weights.layers import Parameter
from detection.weights.torchvision import torchvision_name


class TorchvisionC4(nn.Module):
    """The same function as ``model``, in torchvision's parts and with copies of its weights.

    ``pixels``, ``body`` (conv1 ... conv4), ``rpn`` and ``roi_heads`` are called one after the other
    by hand: torchvision's own first step would resize images that have their size already.
    In training only anchors and regions that are drawn at random differ, and smooth L1, which
    torchvision has with sigma = 3 alone.
    """

    def __init__(self, model: FasterRCNN, post_processing: PostProcessing) -> None:
        super().__init__()
        backbone = model.backbone
        if not isinstance(backbone, ResNet) or not isinstance(backbone.conv2[0], Bottleneck):
            raise ValueError("torchvision's C4 network is assembled of bottleneck ResNets alone")
        resnet = _resnet(backbone)
        self.pixels: PixelFormat = model.pixels
        self.body = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool,
            resnet.layer1, resnet.layer2, resnet.layer3,
        )  # fmt: skip
        self.rpn = _rpn(model.rpn)
        self.roi_heads = _roi_heads(model, _Conv5(resnet.layer4), post_processing)
        self.train(model.training)

    def features(self, images: ImageBatch) -> Tensor:
        """The shared features [N, feature_channels, h, w]."""
        features: Tensor = self.body(self.pixels(images))
        return features

    def probabilities(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """[R, C + 1] of the given regions [L, 4] of each image, background first."""
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
        """Detections in the pixels of the batch, best first: inference."""
        pixels = self.pixels(images)
        features = OrderedDict([("0", self.body(pixels))])
        proposals, _ = self.rpn(ImageList(pixels, images.sizes), features)
        found, _ = self.roi_heads(features, proposals, images.sizes)
        return [Detections(one["boxes"], one["scores"], one["labels"]) for one in found]

    def losses(self, images: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """The four losses of one mini-batch, under the names of ours."""
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


def _resnet(backbone: ResNet) -> torchvision.models.ResNet:
    """torchvision's ResNet with the backbone's weights, strides and frozen stages."""
    blocks = [len(backbone.get_submodule(stage)) for stage in STAGES[1:]]  # type: ignore[arg-type]
    with torch.device("meta"):  # initial weights would be drawn and thrown away
        resnet = torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, blocks, norm_layer=FrozenBatchNorm2d
        )
    del resnet.fc
    copies = {
        name: value.clone(memory_format=torch.contiguous_format)  # torchvision's own layout
        for name, value in _torchvision_names(backbone.state_dict()).items()
    }
    resnet.load_state_dict(copies, assign=True)
    for stage in STAGES[1:]:
        layer = resnet.get_submodule(f"layer{int(stage[-1]) - 1}")
        ours, theirs = backbone.get_submodule(f"{stage}.0"), layer.get_submodule("0")
        for name in ("a", "b"):
            stride = _convolution(ours, f"conv_{name}.conv").stride
            _convolution(theirs, f"conv{1 + 'ab'.index(name)}").stride = stride
    if backbone.bin_step == 2:  # here all bins are pooled, so conv5_1 strides itself
        _convolution(resnet.layer4, "0.conv1").stride = (2, 2)
        _convolution(resnet.layer4, "0.downsample.0").stride = (2, 2)
    frozen = {
        name for name, parameter in backbone.named_parameters() if not parameter.requires_grad
    }
    frozen_names = _torchvision_names({name: torch.empty(0) for name in frozen})
    for name, parameter in resnet.named_parameters():
        parameter.requires_grad_(name not in frozen_names)
    return resnet


def _convolution(owner: nn.Module, name: str) -> nn.Conv2d:
    layer = owner.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return layer


def _torchvision_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parameters = {name: Parameter.parse(name) for name in weights}
    return {
        torchvision_name(parameter): weights[name]
        for name, parameter in parameters.items()
        if parameter is not None
    }


class _Anchors(nn.Module):
    """Our anchors where torchvision's RPN looks for its own, which are centred elsewhere."""

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.anchors = anchors

    def num_anchors_per_location(self) -> list[int]:
        return [self.anchors.per_position]

    def forward(self, images: ImageList, features: list[Tensor]) -> list[Tensor]:
        height, width = features[0].shape[-2:]
        return [self.anchors((height, width), features[0].device)] * len(images.image_sizes)


class _RPNHead(nn.Module):
    """torchvision's RPNHead, with as many channels inside as ours."""

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


def _rpn(rpn: RPN) -> RegionProposalNetwork:
    training, test = rpn.training_proposals, rpn.test_proposals
    network = RegionProposalNetwork(
        _Anchors(rpn.anchors),  # type: ignore[arg-type]
        _RPNHead(rpn),
        fg_iou_thresh=rpn.sampling.positive_iou,
        bg_iou_thresh=rpn.sampling.negative_iou,
        batch_size_per_image=rpn.sampling.per_image,
        positive_fraction=rpn.sampling.positive_fraction,
        pre_nms_top_n={"training": training.before_nms, "testing": test.before_nms},
        post_nms_top_n={"training": training.after_nms, "testing": test.after_nms},
        nms_thresh=test.nms_iou,
    )
    network.min_size = max(test.min_size, 1e-3)
    return network


class _Pooling(nn.Module):
    """RoIPool or RoIAlign where torchvision's RoIHeads call their MultiScaleRoIAlign."""

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
            pooled = roi_pool(given, boxes, self.bins, self.scale)
        return pooled.to(level.dtype)


class _Conv5(nn.Module):
    def __init__(self, layer4: nn.Module) -> None:
        super().__init__()
        self.layer4 = layer4

    def forward(self, pooled: Tensor) -> Tensor:
        return self.layer4(pooled).mean(dim=(2, 3))


def _roi_heads(model: FasterRCNN, conv5: nn.Module, rule: PostProcessing) -> RoIHeads:
    head = model.roi_head
    predictor = FastRCNNPredictor(head.logits.in_features, head.num_classes + 1)
    with torch.no_grad():
        predictor.cls_score.load_state_dict(head.logits.state_dict())
        # torchvision regresses a box of the background too, and throws it away.
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
