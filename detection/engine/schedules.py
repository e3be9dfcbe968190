"""How the learning rate goes: warm-up, then a schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.structures import Metrics


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """The learning rate: a linear warm-up, then :meth:`factor`.

    ``reference``: the rate for mini-batches of ``reference_batch`` images.  It is rescaled to the
    actual ``batch_size`` in proportion (Goyal et al. 2017).
    ``warmup_factor``: the fraction of the rate at iteration 0; it is 1 after ``warmup_iterations``.
    """

    reference: float
    reference_batch: int
    batch_size: int
    warmup_iterations: int
    warmup_factor: float

    @property
    def base(self) -> float:
        """The rate after warm-up, before it falls."""
        return self.reference * self.batch_size / self.reference_batch

    def __call__(self, iteration: int) -> float:
        """The rate of an iteration, counted from 0."""
        rate = self.base * self.factor(iteration)
        return rate * self.warmup(iteration) if iteration < self.warmup_iterations else rate

    def warmup(self, iteration: int) -> float:
        """The fraction of the rate while ``iteration < warmup_iterations``."""
        done = iteration / self.warmup_iterations
        return self.warmup_factor * (1 - done) + done

    @abstractmethod
    def factor(self, iteration: int) -> float:
        """The fraction of the rate at an iteration, without warm-up, in [0, 1]."""

    def observe(self, metrics: Metrics) -> None:  # noqa: B027  (most schedules ignore it)
        """Receives what a validation measured, in all processes."""

    def state(self) -> list[float]:
        """What :meth:`restore` needs when training is resumed."""
        return []

    def restore(self, state: Sequence[float]) -> None:  # noqa: B027
        """Takes up what :meth:`state` said; most schedules ignore what another kind has left."""

    def __str__(self) -> str:
        return (
            f"learning rate {self.base:g} for mini-batches of {self.batch_size} "
            f"({self.reference:g} per {self.reference_batch}), warm-up {self.warmup_iterations} "
            f"iterations"
        )


@dataclass(frozen=True, kw_only=True)
class LearningRate(Schedule):
    """A constant rate times ``decay`` at each of ``milestones``."""

    milestones: Sequence[int]
    decay: float

    def factor(self, iteration: int) -> float:
        return self.decay ** sum(iteration >= m for m in self.milestones)

    def __str__(self) -> str:
        return f"{super().__str__()}, x{self.decay:g} at {list(self.milestones)}"


@dataclass(frozen=True, kw_only=True)
class ConstantWarmUp(LearningRate):
    """Warm-up at one low rate, then the whole (He et al. 2015, section 4.2, 110 layers).

    "We use 0.01 to warm up the training until the training error is below 80% (about 400
    iterations), and then go back to 0.1": the iterations are fixed here.
    """

    def warmup(self, iteration: int) -> float:
        return self.warmup_factor


@dataclass(frozen=True, kw_only=True)
class LinearDecay(Schedule):
    """The rate falls in a straight line to zero at ``iterations``."""

    iterations: int

    def factor(self, iteration: int) -> float:
        return max(0.0, 1 - iteration / self.iterations)  # beyond them: no ascent

    def __str__(self) -> str:
        return f"{super().__str__()}, falling to zero at {self.iterations}"


@dataclass(frozen=True, kw_only=True)
class DivideOnPlateau(Schedule):
    """The rate times ``decay`` "when the error plateaus" (He et al. 2015, section 3.4).

    A plateau: ``patience`` validations in a row whose ``error`` was not lower by ``improvement``
    than the lowest before.
    """

    decay: float
    patience: int
    improvement: float
    errors: list[float] = field(default_factory=list, init=False, repr=False)

    def factor(self, iteration: int) -> float:
        return self.decay ** self.plateaus()

    def plateaus(self) -> int:
        """How many there were so far."""
        lowest, waited, plateaus = float("inf"), 0, 0
        for error in self.errors:
            if error <= lowest - self.improvement:
                lowest, waited = error, 0
                continue
            waited += 1
            if waited == self.patience:
                plateaus, waited = plateaus + 1, 0
        return plateaus

    def observe(self, metrics: Metrics) -> None:
        error = metrics["error"]
        assert error is not None
        self.errors.append(error)

    def state(self) -> list[float]:
        return list(self.errors)

    def restore(self, state: Sequence[float]) -> None:
        self.errors[:] = state

    def __str__(self) -> str:
        return (
            f"{super().__str__()}, x{self.decay:g} after {self.patience} validations without "
            f"{100 * self.improvement:g} % less error"
        )
