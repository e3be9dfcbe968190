"""One training: it is new or goes on, trains, validates, saves and reports.

Any program can make one.  The run owns its folder: what it resumes there, its log, its validations
and its checkpoints.  What is trained, on what and by which rules comes from outside: a detector
(:mod:`detection.cli.detector_run` makes its runs) or a classifier.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detection.atomic_write import write_text
from detection.checkpoint import Checkpoint, ClassifierCheckpoint
from detection.engine.averaged_weights import averaged_weights
from detection.engine.checkpoints import (
    BEST,
    LAST,
    TRAINED_WEIGHTS,
    Checkpoints,
    Progress,
    find_previous,
    restore,
)
from detection.engine.distributed import Processes
from detection.engine.log import TrainingLog
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder, training_folder
from detection.engine.progress import TrainingProgress
from detection.engine.runtime import Runtime
from detection.engine.schedules import Schedule
from detection.engine.stop import Stopped, StopRequest
from detection.engine.train import MiniBatch, TrainingRules, train
from detection.engine.validation import Validation
from detection.load_weights import load_weights
from detection.structures import Metrics

log = logging.getLogger("train")

METRICS = "metrics.json"
_STOPPED = "stopped by a signal; %s is saved: go on with resume=true and the same command"
# What each checkpoint says of how its training began.
KEPT = ("trained", "from_random")
FROM_RANDOM = """This training began from random weights: give weights=, or let BN learn \
(model.backbone.norm=trained) before you lower the rate"""


@dataclass(kw_only=True)
class TrainingRun:
    """One training, from its first weights to the report of its last validation.

    ``folder``: gets best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml.
    ``resume``: whether to go on from its last.pt; ``overwrite``: to replace it; else it is refused.
    ``command``: whose run this is, for the folder's marker.  ``training_log``: makes the log there.
    ``reads``: files that the training starts from, which are not overwritten.
    ``template``: a checkpoint without weights; each file is a copy of it with weights.
    ``model``: what the checkpoints keep.  ``network``: what is trained of it, with its parameters:
    itself, or one of a detector's two networks.
    ``initialise``: gives a new training its first weights; returns the entries that every
    checkpoint keeps in ``training``: those of KEPT.  Not called on resuming.
    ``optimizer``: makes one over what learns in a model that is on its device.  Each of its groups
    has a ``factor`` on the learning rate: see :mod:`detection.engine.optimizers`.
    ``batches``: the mini-batches from an iteration on.
    ``update_bn_statistics``: before each validation, where BN learns.
    ``measures_the_same``: whether the validations before resuming can be compared with those after.
    ``settings``: the text that is kept as config.yaml.  ``files``: name -> text, of others beside.
    ``report``: called at the end with the best value of the goal; says what it finds and returns
    entries for metrics.json.
    """

    folder: Path
    resume: bool
    template: Checkpoint | ClassifierCheckpoint
    model: nn.Module
    network: nn.Module
    initialise: Callable[[], Mapping[str, Any]]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    learning_rate: Schedule
    rules: TrainingRules
    batches: Callable[[int], Iterable[MiniBatch]]
    validation: Validation
    runtime: Runtime
    processes: Processes
    seed: int
    settings: str
    update_bn_statistics: Callable[[], None] | None = None
    overwrite: bool = False
    command: str = "training"
    reads: Sequence[Path] = ()
    measures_the_same: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    training_log: Callable[..., TrainingLog] = TrainingLog
    report: Callable[[float | None], Mapping[str, Any]] | None = None

    def run(self) -> Metrics | None:
        """Trains to the end.  Returns the last validation's numbers.

        None in all processes but the first, and if nothing was left to do.  Raises ValueError or
        FileNotFoundError for a folder that cannot be taken, FloatingPointError when training
        diverges, and :class:`detection.engine.stop.Stopped` when a signal has ended it.
        """
        with self._output().taken(
            resume=self.resume, overwrite=self.overwrite, processes=self.processes
        ) as begun:
            resume = self.resume
            if resume and begun and not (self.folder / LAST).is_file():
                log.warning("%s: no checkpoint had been saved: training starts anew", self.folder)
                resume = False
            with StopRequest() as stop:
                try:
                    return self._run(stop, resume=resume)
                except Stopped:
                    if self.processes.is_first:
                        log.warning(_STOPPED, self.folder / LAST)
                    raise

    def check_folder(self) -> None:
        """Raises ValueError, before long work, for a folder that :meth:`run` could not take."""
        self._output().check(resume=self.resume, overwrite=self.overwrite)

    def _output(self) -> OutputFolder:
        return training_folder(self.folder, command=self.command, reads=self.reads)

    def _run(self, stop: StopRequest, *, resume: bool) -> Metrics | None:
        began = time.perf_counter()
        log.info("%s", self.learning_rate)
        previous = find_previous(self.folder, self.template, resume=resume)
        if previous:
            load_weights(self.model, previous.weights, source=str(self.folder / LAST))
            facts = {key: previous.training[key] for key in KEPT if key in previous.training}
        else:
            facts = dict(self.initialise())
        self.model.to(self.runtime.device)
        optimizer = self.optimizer(self.model)
        progress = Progress()
        if previous:
            progress = restore(previous, optimizer=optimizer, learning_rate=self.learning_rate)
            if not self.measures_the_same:
                progress = replace(progress, best=None, waited=0)
            log.info("resumed at iteration %d of %d", progress.iteration, self.rules.iterations)
        trained = previous.training.get(TRAINED_WEIGHTS) if previous else None
        averaged = averaged_weights(self.model, self.rules.ema_decay, trained)
        self._introduce()
        checkpoints = Checkpoints(
            folder=self.folder,
            template=replace(self.template, training=facts),
            model=self.model,
            optimizer=optimizer,
            learning_rate=self.learning_rate,
            goal=self.validation.goal,
            best=progress.best,
            waited=progress.waited,
            patience=self.rules.patience,
            averaged=averaged,
        )
        try:
            measured = self._train(optimizer, progress, checkpoints, stop)
        except FloatingPointError as error:
            if not facts.get("from_random"):
                raise
            raise FloatingPointError(f"{error}. {FROM_RANDOM}") from None
        # A run that was killed between its last save and its report goes on with that.
        if measured is None and self.processes.is_first and not (self.folder / METRICS).is_file():
            with averaged.in_place() if averaged else nullcontext(), stop.nothing_to_lose():
                measured = self.validation()
        if measured is not None:
            self._report(checkpoints, seconds=time.perf_counter() - began)
        return measured

    def _introduce(self) -> None:
        log.info(
            "%s on %s in %s, %d processes, %d parameters that learn",
            type(getattr(self.model, "backbone", self.model)).__name__,
            self.runtime.device,
            self.runtime.precision,
            self.processes.world_size,
            sum(p.numel() for p in self.model.parameters() if p.requires_grad),
        )

    def _train(
        self,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        checkpoints: Checkpoints,
        stop: StopRequest,
    ) -> Metrics | None:
        measured: list[Metrics] = []

        def validate() -> Metrics:
            measured.append(self.validation())
            return measured[-1]

        batches = self.batches(progress.iteration)
        training_log = None
        if self.processes.is_first:
            start, first = progress.iteration, not progress.is_validated
            training_log = self.training_log(self.folder, start=start, validates_first=first)
            for name, text in {"config.yaml": self.settings, **self.files}.items():
                write_text(self.folder / name, text)
        try:
            train(
                network=self.network,
                batches=batches,
                optimizer=optimizer,
                learning_rate=self.learning_rate,
                rules=self.rules,
                start=progress.iteration,
                seed=self.seed,
                device=self.runtime.device,
                precision=self.runtime.precision,
                processes=self.processes,
                log=training_log,
                validate=validate,
                save=checkpoints.save,
                update_bn_statistics=self.update_bn_statistics,
                not_validated=not progress.is_validated,
                stop=stop,
                averaged=checkpoints.averaged,
                is_over=checkpoints.is_over,
                progress=TrainingProgress(
                    start=progress.iteration,
                    rules=self.rules,
                    is_shown=self.processes.is_first,
                    goal=self.validation.goal,
                    best=progress.best,
                ),
                between_steps=self.runtime.follow_neighbours,
            )
        finally:
            if training_log:
                training_log.close()
        return measured[-1] if measured else None

    def _report(self, checkpoints: Checkpoints, *, seconds: float) -> None:
        metrics, best = self.folder / METRICS, checkpoints.best
        log.info("\n%s", self.validation.table())
        entries = {**self.validation.entries(), "best": {self.validation.goal.metric: best}}
        entries["seconds"] = round(seconds, 1)
        write_metrics(metrics, **entries)
        if self.report:
            write_metrics(metrics, **entries, **self.report(best))
        log.info("best checkpoint: %s   metrics: %s", self.folder / BEST, metrics)
