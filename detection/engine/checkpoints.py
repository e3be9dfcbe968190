"""The checkpoints of a training: last.pt to go on from, best.pt to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detection.checkpoint import Checkpoint, ClassifierCheckpoint
from detection.engine.schedules import Schedule
from detection.engine.validation import Goal
from detection.structures import Metrics

LAST, BEST = "last.pt", "best.pt"


@dataclass(kw_only=True)
class Checkpoints:
    """last.pt for resuming; best.pt, without the optimizer, whenever ``goal`` is best so far.

    ``template``: a checkpoint without weights; each file is a copy of it with weights.
    Its ``training`` holds the entries that every file keeps (``trained``).
    ``best``: the best value of the goal so far.
    """

    folder: Path
    template: Checkpoint | ClassifierCheckpoint
    model: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: Schedule
    goal: Goal
    best: float | None = None

    def save(self, iteration: int, metrics: Metrics | None) -> None:
        """After ``iteration`` iterations, with ``metrics`` if the model has just been measured."""
        if metrics is not None and self.goal.is_better(metrics[self.goal.metric], self.best):
            self.best = metrics[self.goal.metric]
            self._write(BEST, {"iteration": iteration, "best": self.best})
        progress = {
            "iteration": iteration,
            "measured": metrics is not None,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.learning_rate.state(),
        }
        self._write(LAST, progress)

    def _write(self, name: str, progress: dict[str, Any]) -> None:
        training = self.template.training | progress
        weights = self.model.state_dict()
        replace(self.template, weights=weights, training=training).save(self.folder / name)


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    iteration: int = 0
    best: float | None = None
    is_validated: bool = True  # a new training has nothing to validate


def restore(
    previous: Checkpoint | ClassifierCheckpoint,
    *,
    optimizer: torch.optim.Optimizer,
    learning_rate: Schedule,
) -> Progress:
    """Puts the optimizer and the schedule where they were when ``previous`` was saved."""
    training = previous.training
    optimizer.load_state_dict(training["optimizer"])
    learning_rate.restore(training.get("schedule", []))
    return Progress(training["iteration"], training["best"], training.get("measured", True))


def find_previous(
    folder: Path, template: Checkpoint | ClassifierCheckpoint, *, resume: bool
) -> Checkpoint | ClassifierCheckpoint | None:
    """The last checkpoint in ``folder`` to go on from, or None for a new training.

    Raises FileNotFoundError if there is none to resume, ValueError if one would be overwritten or
    is of other classes than ``template``.
    """
    last = folder / LAST
    if not resume:
        if last.exists():
            raise ValueError(
                f"{last} exists: go on from it with resume=true, or choose another output_dir"
            )
        return None
    if not last.exists():
        raise FileNotFoundError(f"{last}: nothing to resume; leave out resume=true")
    previous = type(template).load(last)
    check_classes(previous.class_names, template.class_names, last=last)
    return previous


def check_classes(previous: Sequence[str], now: Sequence[str], *, last: Path) -> None:
    """ValueError if a run is resumed with other classes: its labels would mean something else."""
    if list(previous) != list(now):
        raise ValueError(
            f"{last} was trained on {', '.join(previous)}, the data set has {', '.join(now)}: "
            "resume=true needs the same classes in the same order"
        )
