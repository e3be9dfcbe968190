"""The keys of the commands that read files alone, and of env.yaml, which reads the machine."""

from collections.abc import Iterator, Set
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Field

from detection.cli.settings.data import DetectionData
from detection.cli.settings.kinds import (
    NOT_REPEATED,
    File,
    Positive,
    Text,
    TextOrTexts,
    Texts,
    Workers,
)
from detection.cli.settings.node import Node, Rule
from detection.cli.settings.runtime import Device


class Check(Node):
    data: DetectionData
    splits: Texts | None
    workers: Workers
    as_json: bool = Field(alias="json")


class ImportWeights(Node):
    source: File
    entry: Text | None
    output: File
    to: Literal["ours", "detectron2"]
    pixels: Literal["msra", "torchvision", "detectron2"] | None
    stride_in_1x1: bool | None
    class_names: Texts | None
    anchor_sizes: Annotated[list[Positive], MinLen(1), NOT_REPEATED] | None
    aspect_ratios: Annotated[list[Positive], MinLen(1), NOT_REPEATED] | None


class ExportWeights(Node):
    checkpoint: File
    output: File
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
