"""The keys of check.yaml, import_weights.yaml and plot_curves.yaml, which read files alone."""

from collections.abc import Iterator, Set
from typing import Annotated, Literal

from annotated_types import MinLen

from detection.cli.settings.data import DetectionData
from detection.cli.settings.kinds import File, Text, Texts, Workers
from detection.cli.settings.node import Node, Rule


class Check(Node):
    data: DetectionData
    splits: Texts | None
    workers: Workers


class ImportWeights(Node):
    source: File
    output: File
    to: Literal["ours", "detectron2"]
    pixels: Literal["msra", "torchvision", "detectron2"] | None
    stride_in_1x1: bool | None
    class_names: Texts | None


class PlotCurves(Node):
    runs: Annotated[list[Text], MinLen(1)]
    labels: Texts | None
    output: File

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.labels is not None and len(self.labels) != len(self.runs):
            yield Rule("labels", f"must be as many as the runs, {len(self.runs)}")
