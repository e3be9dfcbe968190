"""detectron2's C4 detector as a peer, if it is installed, with the model's sizes and weights.

Nothing else depends on detectron2; its names here are those of its releases since 0.5.  Like
torchvision's, its features and probabilities are compared with ours before anything is timed.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from torch import Tensor, nn

from detection import boxes as box_ops
from detection.benchmarks.stages import Stages
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.resnet import BLOCKS, STAGES, Bottleneck, ResNet
from detection.model.roi_head import RoIHead
from detection.structures import Detections, ImageBatch, Target
from detection.weights.detectron2 import detectron2_name


def is_installed() -> bool:
    return importlib.util.find_spec("detectron2") is not None


class Detectron2C4(nn.Module):
    """The same function as ``model``, as detectron2 builds it, with copies of its weights."""

    def __init__(self, model: FasterRCNN, post_processing: PostProcessing) -> None:
        super().__init__()
        from detectron2.modeling import build_model  # type: ignore[import-not-found]

        backbone = model.backbone
        if not isinstance(backbone, ResNet) or not isinstance(backbone.conv2[0], Bottleneck):
            raise ValueError("detectron2's C4 network is compared with bottleneck ResNets alone")
        self.network = build_model(_configuration(model, backbone, post_processing))
        generator = self.network.proposal_generator.anchor_generator
        generator.offset = 0.0  # our anchors are centred already
        generator.cell_anchors.register_buffer("0", model.rpn.anchors.at_origin.clone())
        missing, unknown = self.network.load_state_dict(_weights(model), strict=False)
        wrong = [name for name in missing if "cell_anchors" not in name and "pixel_" not in name]
        if wrong or unknown:
            raise ValueError(f"this detectron2 has other names: {[*wrong, *unknown][:3]}")
        heads = self.network.roi_heads
        if isinstance(model.roi_head, RoIHead) and model.roi_head.pooling == "roi_pool":
            heads.pooler = _PoolingOfLastPixels(heads.pooler)
        self.pixels = model.pixels
        self.train(model.training)

    def features(self, images: ImageBatch) -> Tensor:
        features: Tensor = self.network.backbone(self.pixels(images))["res4"]
        return features

    def probabilities(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """Class probabilities [R, C + 1] of the regions, background first as in ours."""
        from detectron2.structures import Boxes  # type: ignore[import-not-found]

        heads = self.network.roi_heads
        regions = heads._shared_roi_transform([features], [Boxes(of_image) for of_image in boxes])
        logits = heads.box_predictor(regions.mean(dim=[2, 3]))[0]
        probabilities: Tensor = logits.softmax(dim=1).roll(1, dims=1)
        return probabilities

    def detect(self, images: ImageBatch) -> list[Detections]:
        features, given = self._begin(images)
        proposals, _ = self.network.proposal_generator(given, features, None)
        found, _ = self.network.roi_heads(given, features, proposals, None)
        return [Detections(f.pred_boxes.tensor, f.scores, f.pred_classes + 1) for f in found]

    def losses(self, images: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Divided by other numbers than ours where fewer anchors or regions than wanted exist."""
        from detectron2.structures import Boxes, Instances
        from detectron2.utils.events import EventStorage  # type: ignore[import-not-found]

        features, given = self._begin(images)
        wanted = [
            Instances(size, gt_boxes=Boxes(target.boxes), gt_classes=target.labels - 1)
            for size, target in zip(images.sizes, targets, strict=True)
        ]
        with EventStorage():
            proposals, losses = self.network.proposal_generator(given, features, wanted)
            _, of_head = self.network.roi_heads(given, features, proposals, wanted)
        return {**losses, **of_head}

    def _begin(self, images: ImageBatch) -> tuple[dict[str, Tensor], Any]:
        from detectron2.structures import ImageList

        pixels = self.pixels(images)
        return self.network.backbone(pixels), ImageList(pixels, images.sizes)

    def stages(self) -> Stages:
        heads = self.network.roi_heads
        return {
            "backbone": [(self.pixels, "forward"), (self.network.backbone, "forward")],
            "RPN": [(self.network.proposal_generator, "forward")],
            "pooling": [(heads.pooler, "forward")],
            "conv5 head": [(heads.res5, "forward"), (heads.box_predictor, "forward")],
        }


class _PoolingOfLastPixels(nn.Module):
    """detectron2's ROIPool, whose corners are Caffe's: the last pixel, where ours are edges."""

    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, features: list[Tensor], boxes: list[Any]) -> Tensor:
        corners = [type(image)(box_ops.with_last_pixels(image.tensor)) for image in boxes]
        pooled: Tensor = self.pooler(features, corners)
        return pooled


def _configuration(model: FasterRCNN, backbone: ResNet, rule: PostProcessing) -> Any:
    from detectron2.config import get_cfg  # type: ignore[import-not-found]

    rpn, head = model.rpn, model.roi_head
    assert isinstance(head, RoIHead)
    cfg = get_cfg()  # its defaults are a C4 detector
    cfg.MODEL.DEVICE = "cpu"
    blocks = tuple(len(backbone.get_submodule(s)) for s in STAGES[1:])
    cfg.MODEL.RESNETS.DEPTH = next(
        depth for depth, numbers in BLOCKS.items() if numbers == blocks and depth >= 50
    )
    first = backbone.conv3[0].get_submodule("conv_a.conv")
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = first.stride == (2, 2)
    frozen = [
        all(not p.requires_grad for p in backbone.get_submodule(s).parameters()) for s in STAGES
    ]
    cfg.MODEL.BACKBONE.FREEZE_AT = ([*frozen[:4], False]).index(False)
    # Only their number counts: ours replace them afterwards.
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[float(i + 1) for i in range(rpn.anchors.per_position)]]
    cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
    cfg.MODEL.RPN.CONV_DIMS = [rpn.conv.out_channels]
    cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN = rpn.training_proposals.before_nms
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = rpn.training_proposals.after_nms
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = rpn.test_proposals.before_nms
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = rpn.test_proposals.after_nms
    cfg.MODEL.RPN.NMS_THRESH = rpn.test_proposals.nms_iou
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = rpn.sampling.per_image
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = head.num_classes
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = head.sampling.per_image
    cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = head.sampling.foreground_fraction
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = rule.score_threshold
    cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST = rule.nms_iou
    cfg.TEST.DETECTIONS_PER_IMAGE = rule.per_image
    pooling = {"roi_pool": "ROIPool", "roi_align": "ROIAlignV2"}
    cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE = pooling[head.pooling]
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = head.pooled_size
    return cfg


def _weights(model: FasterRCNN) -> dict[str, Tensor]:
    """Our state dict under detectron2's names; its background is the last class."""
    weights = dict(model.state_dict())
    for name in ("roi_head.logits.weight", "roi_head.logits.bias"):
        weights[name] = weights[name].roll(-1, dims=0)
    return {
        detectron2_name(name): value
        for name, value in weights.items()
        if not name.startswith(("pixels.", "rpn.anchors."))
    }
