"""The keys of the commands that use a trained detector: test.yaml, detect.yaml, propose.yaml."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from detection.cli.settings.data import DetectionData
from detection.cli.settings.inference import Inference
from detection.cli.settings.kinds import (
    ALONE,
    NOT_REPEATED,
    Backend,
    Count,
    File,
    Folder,
    Fraction,
    Images,
    Number,
    Packages,
    Path,
    Pixels,
    Regions,
    Text,
    TextOrTexts,
    Thresholds,
    Whole,
    WrittenFormat,
)
from detection.cli.settings.node import Node, OneOf, Rule
from detection.cli.settings.run import Run
from detection.cli.settings.runtime import Runtime


class InPlaceOf(Node):
    """What a checkpoint, or ``inference=``, says is replaced by; null keeps it."""

    inference: Annotated[Any, OneOf(Inference, optional=True)] = None
    score_threshold: Fraction | None
    nms_iou: Fraction | None
    per_image: Regions | None
    shorter_side: Pixels | None
    longest: Pixels | None
    proposals: Regions | None


class Test(InPlaceOf):
    data: DetectionData
    runtime: Runtime
    checkpoint: TextOrTexts | None
    trust: Packages
    detections: Path | None
    split: TextOrTexts
    max_images: Count | None
    submission: Literal["voc", "coco"] | None
    submission_name: Text
    proposals_file: File | None
    proposal_recall: bool
    batch_size: Images
    backend: Backend
    report: bool
    compare: Annotated[list[Path], ALONE, NOT_REPEATED]
    open: bool
    output_dir: Folder
    overwrite: bool

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.checkpoint is not None and self.detections is not None:
            yield Rule("detections", "are measured in place of a checkpoint's: leave one out")
        if self.submission is not None and self.max_images is not None:
            yield Rule(
                "max_images",
                f"with submission={self.submission} a server takes the detections in all images: "
                "leave one of them out",
            )
        if self.proposals_file and (self.detections is not None or self.proposal_recall):
            yield Rule(
                "proposals_file",
                "takes the place of a checkpoint's RPN: leave out detections= and "
                "proposal_recall=true",
            )

        for key in ("compare", "open"):
            if getattr(self, key) and not self.report:
                yield Rule(key, "is for the report: leave it out, or report=false")

    def needs(self) -> Iterator[Rule]:
        if self.checkpoint is None and self.detections is None:
            yield Rule(
                "checkpoint",
                "there is nothing to measure: give either checkpoint=<.pt> or "
                "detections=<.json or comp4 folder>",
            )


class Drawing(Node):
    labels: bool
    scores: bool
    width: Annotated[Whole, Ge(1), Le(100)] | None
    legend: bool


class Detect(Run, InPlaceOf):
    score_threshold: Thresholds | None
    strict: bool
    formats: Annotated[list[WrittenFormat], ALONE, NOT_REPEATED]
    every: Count
    max_frames: Count | None
    tile: Annotated[Whole, Ge(32), Le(20_000)] | None
    tile_overlap: Annotated[Number, Ge(0), Le(0.5)]
    checkpoint: TextOrTexts
    trust: Packages
    images: TextOrTexts
    batch_size: Images
    draw: bool
    draw_score: Fraction
    drawing: Drawing
    features: bool

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.features and isinstance(self.checkpoint, list) and len(self.checkpoint) > 1:
            yield Rule("features", "each model of an ensemble has others: give one checkpoint")
        if self.features and self.tile is not None:
            yield Rule("features", "are of the whole picture: leave out tile=, or features=true")


class Propose(Node):
    data: DetectionData
    runtime: Runtime
    checkpoint: TextOrTexts
    trust: Packages
    split: TextOrTexts
    output: File
    overwrite: bool
    batch_size: Images

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if not isinstance(self.checkpoint, str):
            yield Rule("checkpoint", "proposals are of one RPN: give one checkpoint")
