"""The keys of the commands that read files alone, and of env.yaml, which reads the machine."""

from collections.abc import Iterator, Set
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Field

from detection.cli.settings.data import DetectionData
from detection.cli.settings.kinds import (
    NOT_REPEATED,
    File,
    Folder,
    Positive,
    Text,
    TextOrTexts,
    Texts,
    Workers,
)
from detection.cli.settings.node import Node, Rule
from detection.cli.settings.runtime import Device


class CheckedAnchors(Node):
    sizes: Annotated[list[Positive], MinLen(1), NOT_REPEATED]
    aspect_ratios: Annotated[list[Positive], MinLen(1), NOT_REPEATED]


class Check(Node):
    data: DetectionData
    splits: Texts | None
    workers: Workers
    as_json: bool = Field(alias="json")
    strict: bool
    fix: bool
    output_dir: Folder | None
    link: bool
    anchors: CheckedAnchors

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.fix and self.output_dir is None:
            yield Rule("output_dir", "fix=true writes a cleaned copy there: name a new folder")
        if self.output_dir is not None and not self.fix:
            yield Rule("output_dir", "is for the cleaned copy: say fix=true, or leave it out")


class ImportWeights(Node):
    source: File
    entry: Text | None
    output: File
    overwrite: bool
    to: Literal["ours", "detectron2"]
    pixels: Literal["msra", "torchvision", "detectron2"] | None
    stride_in_1x1: bool | None
    class_names: Texts | None
    anchor_sizes: Annotated[list[Positive], MinLen(1), NOT_REPEATED] | None
    aspect_ratios: Annotated[list[Positive], MinLen(1), NOT_REPEATED] | None


class ExportWeights(Node):
    checkpoint: File
    output: File
    overwrite: bool
    to: Literal["detectron2", "torchvision", "safetensors"]


class Weights(Node):
    names: TextOrTexts | None
    download: bool


class Env(Node):
    device: Device
    measure_again: bool


class PlotCurves(Node):
    runs: Annotated[list[Text], MinLen(1)]
    labels: Texts | None
    output: File

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.labels is not None and len(self.labels) != len(self.runs):
            yield Rule("labels", f"must be as many as the runs, {len(self.runs)}")
