"""The keys of localizer.yaml and test_localizer.yaml: a localisation network."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar, Literal

from detection.cli.settings.backbone import ResNet
from detection.cli.settings.crops import (
    CentreCrop,
    FullyConvolutionalViews,
    ScaleCrop,
    TenCrop,
    Views,
)
from detection.cli.settings.faster_rcnn import Anchors, AnchorSampling
from detection.cli.settings.kinds import (
    Channels,
    Classes,
    Count,
    Folder,
    Fraction,
    Images,
    NotNegative,
    Packages,
    PositiveFraction,
    PositiveOrInfinite,
    Regions,
    TextOrTexts,
    Texts,
)
from detection.cli.settings.node import Built, Node, OneOf, Rule
from detection.cli.settings.pixels import PerPixelMean, PixelFormat
from detection.cli.settings.run import FirstWeights, TrainingRun
from detection.cli.settings.runtime import Runtime
from detection.cli.settings.schedule import ClassifierSchedule

InvalidBoxes = Literal["clip", "error", "repair"]
TestViews = Annotated[Any, OneOf(CentreCrop, TenCrop, FullyConvolutionalViews, optional=True)]


class PerClassRPN(Built):
    target: ClassVar = "detection.model.per_class_rpn.PerClassRPN"
    by_code: ClassVar = ("in_channels", "num_classes")
    hidden_channels: Channels
    sigma: PositiveOrInfinite
    init_std: NotNegative
    anchors: Annotated[Any, OneOf(Anchors)]
    sampling: Annotated[Any, OneOf(AnchorSampling)]


class Localizer(Built):
    target: ClassVar = "detection.localization.localizer.Localizer"
    num_classes: Classes | None
    backbone: Annotated[Any, OneOf(ResNet)]
    head: Annotated[Any, OneOf(PerClassRPN)]
    pixels: Annotated[Any, OneOf(PixelFormat, PerPixelMean)]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if isinstance(self.backbone, ResNet) and self.backbone.bin_step != 1:
            yield Rule("backbone.bin_step", "is for RoI pooling: write model.backbone.bin_step=1")


class BoxChoice(Built):
    target: ClassVar = "detection.localization.choice.BoxChoice"
    candidates: Regions
    voting_iou: PositiveFraction | None


class LocalizationData(Node):
    root: Folder
    train_split: TextOrTexts
    val_split: TextOrTexts
    classes: Texts | None
    allow_outside: bool
    invalid_boxes: InvalidBoxes
    train_images: Count | None
    val_images: Count | None
    crop: Annotated[Any, OneOf(ScaleCrop)]
    min_visible: Fraction
    views: Views
    test_batch_size: Images


class TrainLocalizer(TrainingRun, FirstWeights):
    model: Annotated[Any, OneOf(Localizer)]
    data: LocalizationData
    schedule: ClassifierSchedule
    choice: Annotated[Any, OneOf(BoxChoice)]


class LocalizationTestData(Node):
    root: Folder
    split: TextOrTexts
    images: Count | None
    allow_outside: bool
    invalid_boxes: InvalidBoxes


class TestLocalizer(Node):
    runtime: Runtime
    checkpoint: TextOrTexts
    classifier: TextOrTexts | None
    trust: Packages
    data: LocalizationTestData
    views: TestViews
    voting_iou: PositiveFraction | None
    batch_size: Images
    output_dir: Folder
    overwrite: bool
