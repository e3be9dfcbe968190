"""The keys of show_data.yaml: what is looked at, and those of train.yaml that make mini-batches."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from detection.cli.settings.data import DetectionData
from detection.cli.settings.faster_rcnn import FasterRCNN
from detection.cli.settings.inference import Inference
from detection.cli.settings.kinds import (
    Count,
    File,
    Folder,
    Packages,
    Seed,
    Text,
    TextOrTexts,
    Whole,
)
from detection.cli.settings.node import Node, OneOf, Rule
from detection.cli.settings.runtime import Runtime
from detection.cli.settings.schedule import DetectorSchedule
from detection.cli.settings.train import Validation


class ShowData(Node):
    model: Annotated[Any, OneOf(FasterRCNN)]
    data: DetectionData
    schedule: DetectorSchedule
    inference: Annotated[Any, OneOf(Inference)]
    runtime: Runtime
    split: TextOrTexts | None
    max_images: Count | None
    batches: Annotated[Whole, Ge(0), Le(1000)]
    anchors: bool
    regions: bool
    checkpoint: File | None
    trust: Packages
    open: bool
    output_dir: Folder
    overwrite: bool
    weights: File | None
    weights_entry: Text | None
    init: File | None
    init_new_classes: bool
    train_only: Literal["rpn", "fast_rcnn"] | None
    shared_fixed: bool
    proposals: File | None
    val_proposals: File | None
    seed: Seed
    validation: Validation

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        for key in ("anchors", "regions"):
            if getattr(self, key) and not self.batches:
                yield Rule(key, "are those of mini-batches: give batches= a number, too")
        if self.checkpoint is not None and not self.regions:
            yield Rule("checkpoint", "is for regions=true: give both")
        for key in ("weights", "init"):
            if self.checkpoint is not None and getattr(self, key) is not None:
                yield Rule(key, "checkpoint= takes its place: give one of them")
        if self.train_only == "fast_rcnn" and not self.proposals:
            yield Rule("train_only", "learns on proposals of data.train_split: give proposals=")
        if self.proposals is not None and self.train_only != "fast_rcnn":
            yield Rule("proposals", "is for train_only=fast_rcnn; the RPN makes its own")
