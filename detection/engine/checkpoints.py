"""The checkpoints of a training: last.pt to go on from, best.pt to use."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detection.checkpoint import Checkpoint, ClassifierCheckpoint
from detection.engine.averaged_weights import AveragedWeights
from detection.engine.schedules import Schedule
from detection.engine.validation import Goal
from detection.structures import Metrics

log = logging.getLogger("train")

LAST, BEST = "last.pt", "best.pt"
# In the training entries of last.pt, where its weights are an average.
TRAINED_WEIGHTS = "trained_weights"


@dataclass(kw_only=True)
class Checkpoints:
    """last.pt for resuming; best.pt, without the optimizer, whenever ``goal`` is best so far.

    ``template``: a checkpoint without weights; each file is a copy of it with weights.
    Its ``training`` holds the entries that every file keeps (``trained``).
    ``best``: the best value of the goal so far.  ``waited``: the validations since then.
    ``patience``: of them, after which training ends; None: it does not.
    ``averaged``: what the files have in place of the weights that training goes on from.
    """

    folder: Path
    template: Checkpoint | ClassifierCheckpoint
    model: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: Schedule
    goal: Goal
    best: float | None = None
    waited: int = 0
    patience: int | None = None
    averaged: AveragedWeights | None = None

    def save(self, iteration: int, metrics: Metrics | None) -> None:
        """After ``iteration`` iterations, with ``metrics`` if the model has just been measured."""
        if metrics is not None:
            self.waited += 1
            if self.goal.is_better(metrics[self.goal.metric], self.best):
                self.best, self.waited = metrics[self.goal.metric], 0
                self._write(BEST, {"iteration": iteration, "best": self.best})
        progress = {
            "iteration": iteration,
            "measured": metrics is not None,
            "best": self.best,
            "waited": self.waited,
            "optimizer": self.optimizer.state_dict(),
            "optimizer_class": type(self.optimizer).__name__,
            "schedule": self.learning_rate.state(),
        }
        if self.averaged is not None:
            progress[TRAINED_WEIGHTS] = self.averaged.trained()
        self._write(LAST, progress)

    def is_over(self) -> bool:
        """Whether ``patience`` is at its end, which is said."""
        if self.patience is None or self.waited < self.patience:
            return False
        log.info(
            "ends early: no %s in the last %d validations was better than %s before them "
            "(schedule.rules.patience=%d)",
            self.goal.metric,
            self.waited,
            "-" if self.best is None else f"{100 * self.best:.1f}",
            self.patience,
        )
        return True

    def _write(self, name: str, progress: dict[str, Any]) -> None:
        training = self.template.training | progress
        weights = self.model.state_dict()
        if self.averaged is not None:
            weights |= self.averaged.weights()
        replace(self.template, weights=weights, training=training).save(self.folder / name)


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    iteration: int = 0
    best: float | None = None
    is_validated: bool = True  # a new training has nothing to validate
    waited: int = 0


def restore(
    previous: Checkpoint | ClassifierCheckpoint,
    *,
    optimizer: torch.optim.Optimizer,
    learning_rate: Schedule,
) -> Progress:
    """Puts the optimizer and the schedule where they were when ``previous`` was saved.

    The optimizer has its moments from there, and its own settings: weight decay, momentum.  One of
    another class, or over other parameters, starts anew.
    """
    training = previous.training
    if _fits(optimizer, training):
        settings = [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        optimizer.load_state_dict(training["optimizer"])
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            group.update(own)
    else:
        log.warning("what the optimizer remembers does not fit the new one, which starts anew")
    learning_rate.restore(training.get("schedule", []))
    return Progress(
        iteration=training["iteration"],
        best=training["best"],
        is_validated=training.get("measured", True),
        waited=training.get("waited", 0),
    )


def _fits(optimizer: torch.optim.Optimizer, training: dict[str, Any]) -> bool:
    """Whether a saved state is that of such an optimizer, over such parameters."""
    state, own = training["optimizer"], type(optimizer).__name__
    if training.get("optimizer_class", own) != own:
        return False
    groups = [group["params"] for group in optimizer.param_groups]
    saved = [group["params"] for group in state["param_groups"]]
    if [len(group) for group in groups] != [len(group) for group in saved]:
        return False
    parameters = dict(zip(chain(*saved), chain(*groups), strict=True))
    return all(
        value.shape == parameters[number].shape
        for number, kept in state["state"].items()
        for value in kept.values()
        if isinstance(value, torch.Tensor) and value.dim() > 0  # AdamW counts its steps, too
    )


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
