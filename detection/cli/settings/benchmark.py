"""The keys of benchmark.yaml."""

from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import StringConstraints

from detection.cli.settings.kinds import (
    ASCENDING,
    NOT_REPEATED,
    AsTyped,
    Bins,
    Channels,
    Classes,
    Count,
    CountOrZero,
    Counts,
    DTypes,
    Folder,
    Images,
    OperatorDTypes,
    Overrides,
    Pixels,
    Regions,
    Seed,
    Words,
)
from detection.cli.settings.node import Node

Device = Annotated[
    str,
    StringConstraints(pattern=r"^(cpu|cuda(:\d{1,3})?)$"),
    AsTyped(),
    Words("cpu, cuda or cuda:<index>"),
]
Layout = Literal["channels_last", "contiguous"]


class Ops(Node):
    rois: Regions
    channels: Channels
    height: Pixels
    width: Pixels
    stride: Pixels
    output_size: Bins
    dtypes: OperatorDTypes
    layouts: Annotated[list[Layout], MinLen(1), NOT_REPEATED]
    images: Images
    candidates: Count
    proposals: Count
    seed: Seed


class InferenceSuite(Node):
    overrides: Overrides
    images: Images
    height: Pixels
    width: Pixels
    classes: Classes
    dtypes: DTypes
    compiled: bool
    folder_images: CountOrZero
    seed: Seed


class TrainSuite(Node):
    overrides: Overrides
    objects_per_image: Count
    classes: Classes
    dtypes: DTypes
    seed: Seed


class DataSuite(Node):
    folder: Folder | None
    images: Count
    height: Pixels
    width: Pixels
    shorter_side: Pixels
    longest: Pixels
    seed: Seed


class EvaluationSuite(Node):
    images: Count
    classes: Classes
    objects_per_image: Count
    detections_per_image: Count
    seed: Seed


class Growth(Node):
    overrides: Overrides
    height: Pixels
    width: Pixels
    seed: Seed
    scales: Counts
    regions: Counts
    classes: Counts
    images: Counts
    objects_per_image: Counts


class Neighbours(Node):
    kinds: Annotated[list[Literal["train", "inference"]], MinLen(1), NOT_REPEATED]
    neighbours: Annotated[list[CountOrZero], MinLen(1), ASCENDING]
    one_login: bool
    peer: bool
    overrides: Overrides
    height: Pixels
    width: Pixels
    objects_per_image: Count
    classes: Classes
    seed: Seed


class Start(Node):
    detectors: dict[str, Overrides]
    height: Pixels
    width: Pixels
    classes: Classes
    seed: Seed


class ServeSuite(Node):
    overrides: Overrides
    images: Count
    height: Pixels
    width: Pixels
    classes: Classes
    clients: Counts
    batch_size: Images
    seed: Seed


class Benchmark(Node):
    suite: Literal[
        "ops", "inference", "train", "data", "evaluation", "growth", "start", "neighbours", "serve"
    ]
    output_dir: Folder
    device: Device | None
    threads: Count | None
    repeats: Count
    warmup: CountOrZero
    ops: Ops
    inference: InferenceSuite
    train: TrainSuite
    data: DataSuite
    evaluation: EvaluationSuite
    growth: Growth
    neighbours: Neighbours
    start: Start
    serve: ServeSuite
