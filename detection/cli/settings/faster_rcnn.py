"""``model``: Faster R-CNN, its RPN and its head."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Le, Len

from detection.cli.settings.backbone import VGG16, VGG19, ResNet
from detection.cli.settings.kinds import (
    NOT_REPEATED,
    Bins,
    Channels,
    Classes,
    Fraction,
    NotNegative,
    Number,
    Pixels,
    Positive,
    PositiveFraction,
    PositiveOrInfinite,
    RangeOfIoU,
    Regions,
)
from detection.cli.settings.node import Built, OneOf, Rule
from detection.cli.settings.pixels import PixelFormat

AnchorSizes = Annotated[list[Annotated[Positive, Le(20_000)]], Len(1, 100), NOT_REPEATED]
AspectRatios = Annotated[list[Annotated[Positive, Le(100)]], Len(1, 100), NOT_REPEATED]


class Anchors(Built):
    target: ClassVar = "detection.model.anchors.Anchors"
    sizes: AnchorSizes
    aspect_ratios: AspectRatios
    stride: Pixels
    centre: Number
    rounded: bool


def _no_object(key: str, fraction: float, per_image: int) -> Iterator[Rule]:
    """Where the part of the samples that objects may have is less than one of them."""
    if not round(per_image * fraction):
        yield Rule(
            key,
            f"leaves none of per_image={per_image} for objects, so none is learnt: for example "
            f"{1 / per_image:.2g}",
        )


class AnchorSampling(Built):
    target: ClassVar = "detection.model.targets.AnchorSampling"
    per_image: Regions
    positive_fraction: Fraction
    positive_iou: PositiveFraction
    negative_iou: Fraction
    cross_boundary: bool
    ignore_coverage: PositiveOrInfinite
    divide_by: Literal["sampled", "per_image"]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.negative_iou > self.positive_iou:
            yield Rule(
                "negative_iou",
                f"an anchor would be negative and positive at once: at most positive_iou, "
                f"{self.positive_iou}",
            )
        yield from _no_object("positive_fraction", self.positive_fraction, self.per_image)


class ProposalSelection(Built):
    target: ClassVar = "detection.model.proposals.ProposalSelection"
    before_nms: Regions | None
    nms_iou: Fraction
    after_nms: Regions
    min_size: NotNegative


class RPN(Built):
    target: ClassVar = "detection.model.rpn.RPN"
    by_code: ClassVar = ("in_channels",)
    hidden_channels: Channels
    sigma: PositiveOrInfinite
    init_std: NotNegative
    anchors: Annotated[Any, OneOf(Anchors)]
    sampling: Annotated[Any, OneOf(AnchorSampling)]
    training_proposals: Annotated[Any, OneOf(ProposalSelection)]
    test_proposals: Annotated[Any, OneOf(ProposalSelection)]


class RegionSampling(Built):
    target: ClassVar = "detection.model.targets.RegionSampling"
    per_image: Regions
    foreground_fraction: Fraction
    foreground_iou: PositiveFraction
    background_iou: RangeOfIoU
    ignore_coverage: PositiveOrInfinite
    divide_by: Literal["image", "batch"]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from _no_object("foreground_fraction", self.foreground_fraction, self.per_image)


class RoIHead(Built):
    target: ClassVar = "detection.model.roi_head.RoIHead"
    by_code: ClassVar = ("in_channels", "num_classes")
    pooled_size: Bins
    pooling: Literal["roi_pool", "roi_align"]
    box_weights: Annotated[list[Positive], Len(4, 4)]
    sigma: PositiveOrInfinite
    class_init_std: NotNegative
    box_init_std: NotNegative
    sampling: Annotated[Any, OneOf(RegionSampling)]


class FasterRCNN(Built):
    target: ClassVar = "detection.model.faster_rcnn.FasterRCNN"
    num_classes: Classes | None
    context: bool
    rpn: Annotated[Any, OneOf(RPN)]
    roi_head: Annotated[Any, OneOf(RoIHead)]
    backbone: Annotated[Any, OneOf(ResNet, VGG16, VGG19)]
    pixels: Annotated[Any, OneOf(PixelFormat)]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        head, backbone = self.roi_head, self.backbone
        if not isinstance(head, RoIHead) or not isinstance(backbone, VGG16):
            return
        if head.pooled_size != backbone.pooled_size:
            yield Rule(
                "roi_head.pooled_size",
                "must be what VGG's fc6 reads, model.backbone.pooled_size: write "
                f"model.roi_head.pooled_size={backbone.pooled_size}, or choose model=vgg16",
            )
