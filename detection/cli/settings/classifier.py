"""The keys of classifier.yaml and test_classifier.yaml: a classifier is trained, and tested."""

from typing import Annotated, Any, ClassVar

from detection.cli.settings.backbone import VGG16, VGG19, CifarResNet, ResNet
from detection.cli.settings.crops import (
    CentreCrop,
    Crop,
    FullyConvolutionalViews,
    TenCrop,
    Views,
)
from detection.cli.settings.kinds import (
    Classes,
    Count,
    File,
    Folder,
    Images,
    Packages,
    Text,
    TextOrTexts,
    Texts,
)
from detection.cli.settings.node import Built, Node, OneOf
from detection.cli.settings.pixels import PerPixelMean, PixelFormat
from detection.cli.settings.run import TrainingRun
from detection.cli.settings.runtime import Runtime
from detection.cli.settings.schedule import ClassifierSchedule


class Classifier(Built):
    target: ClassVar = "detection.classification.classifier.Classifier"
    backbone: Annotated[Any, OneOf(ResNet, VGG16, VGG19, CifarResNet)]
    pixels: Annotated[Any, OneOf(PixelFormat, PerPixelMean)]
    num_classes: Classes | None


class ClassifierData(Node):
    root: Folder
    train_split: Text
    val_split: Text
    held_out: Count | None
    in_memory: bool
    train_images: Count | None
    val_images: Count | None
    crop: Crop
    views: Views
    mean_over: Count | None
    test_batch_size: Images


class TrainClassifier(TrainingRun):
    model: Annotated[Any, OneOf(Classifier)]
    data: ClassifierData
    schedule: ClassifierSchedule


class TestData(Node):
    root: Folder
    split: Text
    images: Count | None
    in_memory: bool


class TestClassifier(Node):
    runtime: Runtime
    checkpoint: TextOrTexts
    trust: Packages
    data: TestData
    views: Annotated[Any, OneOf(CentreCrop, TenCrop, FullyConvolutionalViews, optional=True)]
    batch_size: Images
    output_dir: Folder
    overwrite: bool


class Responses(Node):
    runtime: Runtime
    checkpoint: TextOrTexts
    labels: Texts | None
    trust: Packages
    data: TestData
    batch_size: Images
    output_dir: Folder
    overwrite: bool


class StatisticsData(Node):
    root: Folder
    train_split: Text
    val_split: Text | None
    in_memory: bool
    images: Count | None


class BNStatistics(Node):
    runtime: Runtime
    checkpoint: File
    trust: Packages
    data: StatisticsData
    batch_size: Images
    output_dir: Folder
    overwrite: bool
