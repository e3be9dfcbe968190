"""The keys of compare.yaml, degradation.yaml and demo.yaml: commands that run others."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen

from detection.cli.settings.data import DetectionData
from detection.cli.settings.kinds import (
    ASCENDING,
    Backend,
    Count,
    CountOrZero,
    Folder,
    Images,
    Number,
    Overrides,
    Packages,
    Pixels,
    Positive,
    Seed,
    Text,
    TextOrTexts,
    Whole,
)
from detection.cli.settings.node import Node
from detection.cli.settings.runtime import Runtime


class Bootstrap(Node):
    resamples: Annotated[Whole, Ge(1), Le(1_000_000)]
    confidence: Annotated[Number, Gt(0), Lt(1)]
    seed: Seed


class Compare(Node):
    data: DetectionData
    runtime: Runtime
    checkpoint: TextOrTexts | None
    trust: Packages
    rows: Annotated[dict[str, Text], MinLen(1)]
    split: TextOrTexts
    max_images: Count | None
    batch_size: Images
    backend: Backend
    output_dir: Folder
    overwrite: bool
    bootstrap: Bootstrap


class DegradationData(Node):
    root: Folder


class Degradation(Node):
    runtime: Runtime
    data: DegradationData
    output_dir: Folder
    seed: Seed
    common: Overrides
    runs: Annotated[dict[str, Overrides], MinLen(1)]


class Splits(Node):
    train: Count
    val: Count


class Shapes(Node):
    splits: Splits
    image_side: Annotated[Whole, Ge(128), Le(20_000)]  # the smallest objects keep their silhouettes


class Pretraining(Node):
    crop_side: Pixels
    context: Annotated[list[Positive], Len(2, 2), ASCENDING]
    per_object: Count
    ground_per_object: CountOrZero
    epochs: Count
    batch_size: Images
    statistics_images: Count
    classifier: Overrides


class Demo(Node):
    runtime: Runtime
    output_dir: Folder
    overwrite: bool
    seed: Seed
    shapes: Shapes
    pretraining: Pretraining
    detector: Overrides
    photos: CountOrZero
