"""The keys of show_data.yaml: what is looked at, and those of train.yaml that make mini-batches."""

from collections.abc import Iterator, Set
from typing import Annotated

from annotated_types import Ge, Le

from detection.cli.settings.kinds import (
    Count,
    File,
    Folder,
    Packages,
    TextOrTexts,
    Whole,
)
from detection.cli.settings.node import Rule
from detection.cli.settings.runtime import Runtime
from detection.cli.settings.train import Timed


class ShowData(Timed):
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

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        for key in ("anchors", "regions"):
            if getattr(self, key) and not self.batches:
                yield Rule(key, "are those of mini-batches: give batches= a number, too")
        if self.checkpoint is not None and not self.regions:
            yield Rule("checkpoint", "is for regions=true: give both")
        for key in ("weights", "init"):
            if self.checkpoint is not None and getattr(self, key) is not None:
                yield Rule(key, "checkpoint= takes its place: give one of them")
