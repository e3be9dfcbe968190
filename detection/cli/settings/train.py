"""The keys of train.yaml and alternating.yaml."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal

from detection.cli.settings.data import DetectionData
from detection.cli.settings.faster_rcnn import FasterRCNN
from detection.cli.settings.inference import Inference
from detection.cli.settings.kinds import (
    Backend,
    CountOrZero,
    File,
    Images,
    Positive,
    Seed,
)
from detection.cli.settings.node import Node, OneOf, Rule
from detection.cli.settings.run import FirstWeights, TrainingRun
from detection.cli.settings.schedule import DetectorSchedule


class Validation(Node):
    batch_size: Images
    backend: Backend
    pictures: CountOrZero


class DetectorTraining(FirstWeights):
    """What a detector learns from, and how."""

    model: Annotated[Any, OneOf(FasterRCNN)]
    data: DetectionData
    schedule: DetectorSchedule
    inference: Annotated[Any, OneOf(Inference)]
    init: File | None
    init_new_classes: bool
    train_only: Literal["rpn", "fast_rcnn"] | None
    shared_fixed: bool
    proposals: File | None
    val_proposals: File | None
    seed: Seed
    validation: Validation

    def broken_by_proposals(self) -> Iterator[Rule]:
        """Those that are there and not for this network, and those that it needs."""
        if self.train_only != "fast_rcnn":
            for key in ("proposals", "val_proposals"):
                if getattr(self, key):
                    yield Rule(key, "is for train_only=fast_rcnn; the RPN makes its own")
        elif not self.proposals:
            yield Rule(
                "train_only",
                "learns on proposals of data.train_split: give proposals=<.safetensors>, which "
                "detection propose writes",
            )


class Train(TrainingRun, DetectorTraining):
    report: bool
    open: bool

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.open and not self.report:
            yield Rule("open", "opens the report: leave it out, or report=false")


class Timed(DetectorTraining):
    """A training that has a time, for schedule=auto."""

    minutes: Positive | None

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        recipe = self.schedule.recipe
        if self.minutes is not None and recipe is None:
            yield Rule("minutes", "is for schedule=auto; others have schedule.rules.iterations")
        lengths = {"minutes", "schedule.recipe.epochs", "schedule.rules.iterations"} & given
        if recipe is not None and len(lengths) > 1:
            yield Rule(min(lengths), f"{' and '.join(sorted(lengths))} say the same: give one")
        yield from self.broken_by_proposals()


class TrainNet(Train, Timed):
    dry_run: bool

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        learns_on_them = self.train_only == "fast_rcnn" and self.proposals
        if learns_on_them and not self.val_proposals and not self.shared_fixed:
            yield Rule(
                "train_only",
                "changes the features that the RPN works on: give val_proposals=<.safetensors> of "
                "data.val_split, or fix the shared layers with shared_fixed=true",
            )


class Alternating(Train):
    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.schedule.recipe is not None:
            yield Rule("schedule.recipe", "schedule=auto trains in one piece: choose another")
        for key in ("train_only", "shared_fixed", "proposals", "val_proposals"):
            if getattr(self, key):
                yield Rule(
                    key,
                    "each of the four steps has its own: leave it out, or train one network alone "
                    "with detection train",
                )
