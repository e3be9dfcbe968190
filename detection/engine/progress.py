"""How far a training has come, for people: a bar in a terminal, lines in a file.

A terminal has a bar with the loss, the last validation and the best one, and the time left.  Where
there is none, a line says the same at most once a minute, so that nothing of it is lost in a file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tqdm import auto

from detection.engine.validation import Goal
from detection.structures import Metrics

log = logging.getLogger("train")

SECONDS_BETWEEN_LINES = 60.0
# The weight of the last steps in the time that one takes, as tqdm's smoothing has it.
SMOOTHING = 0.1
_Bar: Any = auto.tqdm  # that of the terminal, or of a notebook
BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"


class Length(Protocol):
    """What is asked of :class:`detection.engine.train.TrainingRules`."""

    @property
    def iterations(self) -> int: ...

    @property
    def evaluate_every(self) -> int: ...


class TrainingProgress:
    """``start``: the iterations that are done.  ``goal``: the number of a validation that is shown.

    ``best``: its best value so far.  ``clock``: in seconds.
    """

    def __init__(
        self,
        *,
        start: int,
        rules: Length,
        is_shown: bool,
        goal: Goal | None = None,
        best: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.rules, self.goal, self.best, self.clock = rules, goal, best, clock
        self.is_shown, self._second = is_shown, start + 2
        self.measured: float | None = None
        self._loss = ""
        self._step_seconds: float | None = None
        self._validation_seconds = 0.0
        self._since = self._line_at = clock()
        self._line_at -= SECONDS_BETWEEN_LINES  # the first line comes at once
        self._bar = _Bar(
            total=rules.iterations,
            initial=start,
            unit="it",
            bar_format=BAR,
            smoothing=SMOOTHING,
            # None: where there is no terminal.
            disable=None if is_shown else True,
        )

    def step_is_done(self, done: int) -> None:
        now = self.clock()
        seconds, self._since = now - self._since, now
        before = self._step_seconds
        # The first step is slower than all others, and is forgotten with the second one.
        if before is None or done == self._second:
            self._step_seconds = seconds
        else:
            self._step_seconds = SMOOTHING * seconds + (1 - SMOOTHING) * before
        if not self._bar.disable:
            self._bar.set_postfix_str(self._text(done), refresh=False)
            self._bar.update()

    def losses(self, done: int, values: Mapping[str, Any]) -> None:
        """Means of the losses since the last time, as the log has them."""
        self._loss = f"loss {values['total']:.3f}, rate {values['learning_rate']:.2g}"
        now = self.clock()
        if not self._bar.disable:
            self._bar.set_postfix_str(self._text(done))
        elif self.is_shown and now - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = now
            log.info("iteration %d of %d: %s", done, self.rules.iterations, self._text(done))

    def validation_begins(self) -> None:
        self._since = self.clock()

    def validation_ends(self, done: int, metrics: Metrics) -> None:
        now = self.clock()
        self._validation_seconds, self._since = now - self._since, now
        if self.goal is None:
            return
        self.measured = metrics.get(self.goal.metric)
        is_best = self.goal.is_better(self.measured, self.best)
        if is_best:
            self.best = self.measured
        if self.is_shown:
            with _Bar.external_write_mode():
                log.info(
                    "iteration %d of %d: %s %s, %s (measured in %s)",
                    done,
                    self.rules.iterations,
                    self.goal.metric,
                    _percent(self.measured),
                    "the best so far" if is_best else f"the best so far is {_percent(self.best)}",
                    duration(self._validation_seconds),
                )
        if not self._bar.disable:
            self._bar.set_postfix_str(self._text(done))

    def seconds_left(self, done: int) -> float | None:
        """Of the steps and the validations that are still to come; None before the first step."""
        if self._step_seconds is None:
            return None
        last, every = self.rules.iterations, self.rules.evaluate_every
        validations = -(-last // every) - done // every if every else 1
        return (last - done) * self._step_seconds + validations * self._validation_seconds

    def _text(self, done: int) -> str:
        parts = [self._loss] if self._loss else []
        if self.goal is not None and self.best is not None:
            # A run that goes on knows the best of the one before, and not its last.
            last = "" if self.measured is None else f" {_percent(self.measured)}"
            parts.append(f"{self.goal.metric}{last} (best {_percent(self.best)})")
        left = self.seconds_left(done)
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def close(self) -> None:
        self._bar.close()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def duration(seconds: float) -> str:
    """For people: 45 s, 12:05 min, 3:20 h, 2.5 days."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours < 48 else f"{hours / 24:.1f} days"
