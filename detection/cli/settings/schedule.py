"""``schedule``: how long, how fast and in what steps a network learns."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar

from annotated_types import Len

from detection.cli.settings.kinds import (
    BelowOne,
    Count,
    CountOrZero,
    Fraction,
    Images,
    Milestones,
    NotNegative,
    Overrides,
    Positive,
    PositiveFraction,
)
from detection.cli.settings.node import Built, Node, OneOf, Rule


class TrainingRules(Built):
    target: ClassVar = "detection.engine.train.TrainingRules"
    iterations: Count
    accumulate: Images
    clip_norm: Positive | None
    log_every: CountOrZero
    evaluate_every: CountOrZero
    checkpoint_every: CountOrZero
    patience: Count | None
    ema_decay: BelowOne | None


class _Rate(Built):
    reference: Positive
    reference_batch: Images
    batch_size: Images
    warmup_iterations: CountOrZero
    warmup_factor: Fraction


class LearningRate(_Rate):
    target: ClassVar = "detection.engine.schedules.LearningRate"
    milestones: Milestones
    decay: PositiveFraction


class ConstantWarmUp(LearningRate):
    target: ClassVar = "detection.engine.schedules.ConstantWarmUp"


class LinearDecay(_Rate):
    target: ClassVar = "detection.engine.schedules.LinearDecay"
    iterations: Count


class DivideOnPlateau(_Rate):
    target: ClassVar = "detection.engine.schedules.DivideOnPlateau"
    decay: PositiveFraction
    patience: Count
    improvement: Fraction


class SGD(Built):
    target: ClassVar = "detection.engine.optimizers.sgd"
    by_code: ClassVar = ("model",)
    momentum: BelowOne
    weight_decay: NotNegative
    bias_rate_factor: NotNegative
    bias_weight_decay: NotNegative
    norm_weight_decay: NotNegative


class AdamW(Built):
    target: ClassVar = "detection.engine.optimizers.adamw"
    by_code: ClassVar = ("model",)
    betas: Annotated[list[BelowOne], Len(2, 2)]
    weight_decay: NotNegative


class Schedule(Node):
    batch_size: Images
    rules: Annotated[Any, OneOf(TrainingRules)]
    learning_rate: Annotated[Any, OneOf(LearningRate, ConstantWarmUp, LinearDecay, DivideOnPlateau)]
    optimizer: Annotated[Any, OneOf(SGD, AdamW)]

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        rules = self.rules
        if not isinstance(rules, TrainingRules):
            return
        if rules.accumulate > self.batch_size:
            yield Rule(
                "rules.accumulate",
                f"must be at most schedule.batch_size, {self.batch_size}: a mini-batch is divided "
                "into so many parts",
            )
        for key, text in self._beyond_the_end():
            if f"schedule.{key}" in given:
                yield Rule(key, text)

    def remarks(self, given: Set[str]) -> Iterator[str]:
        for key, text in self._beyond_the_end():
            if f"schedule.{key}" not in given:
                value = getattr(self.learning_rate, key.rpartition(".")[2])
                yield f"schedule.{key}={value}: {text}"

    def _beyond_the_end(self) -> Iterator[tuple[str, str]]:
        """Where the training ends before its learning rate has gone its way."""
        rules, rate = self.rules, self.learning_rate
        if not isinstance(rules, TrainingRules):
            return
        last = rules.iterations
        if isinstance(rate, _Rate) and rate.warmup_iterations > last:
            yield (
                "learning_rate.warmup_iterations",
                f"the training ends after {last} iterations, within its warm-up: write at most "
                f"schedule.learning_rate.warmup_iterations={last // 4}",
            )
        late = [m for m in getattr(rate, "milestones", []) if m >= last]
        if late:
            yield (
                "learning_rate.milestones",
                f"the training ends after {last} iterations, before the rate falls at "
                f"{', '.join(map(str, late))}: write for example "
                f"schedule.learning_rate.milestones=[{last * 3 // 4}], or [] for a constant rate",
            )


class Switches(Built):
    """The rules of schedule=auto, each with its switch."""

    target: ClassVar = "detection.engine.recipe.recipe.Switches"
    given: Overrides
    epochs: Positive | None
    initial_weights: bool
    network: bool
    picture_size: bool
    augmentation: bool
    balance: bool
    anchors: bool
    batch: bool
    rate: bool
    length: bool
    testing: bool
    validation: bool


class DetectorSchedule(Schedule):
    precise_bn: CountOrZero
    fast_rcnn_batch: Images = 1
    fast_rcnn_length: Positive = 1.0
    recipe: Annotated[Any, OneOf(Switches, optional=True)] = None

    def remarks(self, given: Set[str]) -> Iterator[str]:
        if self.recipe is None or not self.recipe.length:  # else the warm-up is not chosen yet
            yield from super().remarks(given)


class ClassifierSchedule(Schedule):
    """Takes the files of a detector's, too, whose further values mean nothing here."""

    precise_bn: CountOrZero = 0
    fast_rcnn_batch: Images = 1
    fast_rcnn_length: Positive = 1.0
    recipe: Annotated[Any, OneOf(Switches, optional=True)] = None

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        yield from super().broken(given)
        if self.precise_bn:
            yield Rule(
                "precise_bn", "a classifier's statistics are those of detection bn-statistics: 0"
            )
