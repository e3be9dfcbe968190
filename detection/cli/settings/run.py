"""The keys of runs that can be gone on with, and of trainings, whatever they train."""

from collections.abc import Iterator, Set

from detection.cli.settings.kinds import File, Folder, Loggers, Seed, Text
from detection.cli.settings.node import Node, Rule
from detection.cli.settings.runtime import Runtime


class Run(Node):
    runtime: Runtime
    resume: bool
    overwrite: bool
    output_dir: Folder

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.resume and self.overwrite:
            yield Rule("overwrite", "replaces a run, and resume=true goes on with it: give one")


class TrainingRun(Run):
    resume_with_changes: bool
    logger: Loggers
    seed: Seed

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.resume_with_changes and not self.resume:
            yield Rule("resume_with_changes", "belongs to resume=true: give both, or none")


class FirstWeights(Node):
    weights: File | None
    weights_entry: Text | None

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.weights_entry is not None and self.weights is None:
            yield Rule("weights_entry", "chooses a network in the file of weights=: give both")
