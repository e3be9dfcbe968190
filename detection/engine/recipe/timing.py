"""What a step takes here, and how many of them fit into the time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from detection.engine.evaluate import detect_dataset
from detection.engine.train import MiniBatch
from detection.engine.training_run import TrainingRun
from detection.engine.validation import DetectionValidation
from detection.precision import autocast

# Each mini-batch is taken twice and timed the second time: the first one also prepares kernels and
# memory for its shape, which a training meets again and again.  The steps that are taken; fewer
# where they take long: so many mini-batches at least, then no longer than the seconds, nor than the
# part of the time that training has.
STEPS = 20
_FEWEST_TIMED = 5
_MEASURING_SECONDS = 30.0
_MEASURING = 0.05
# The part of the time that validations may take, the seconds of training between two at least, and
# how many there are at most.  One, at the end, there always is: a training of a few minutes misses
# the steps that more of them cost.
_VALIDATING = 0.1
_BETWEEN_VALIDATIONS = 120.0
_VALIDATIONS = 10
_CHECKPOINT_SECONDS = 120.0
# Fewer steps than these teach no detector anything.
_FEWEST = 200


@dataclass(frozen=True)
class StepTime:
    """Seconds: of a training step, of a picture in validation, and what measuring took."""

    step: float
    picture: float
    measuring: float


def measure_steps(run: TrainingRun, *, minutes: float) -> StepTime:
    """Times some steps of ``run`` and some pictures of its validation, then throws all away.

    The run itself is to be made anew.  On one process; several exchange gradients besides.
    ``minutes``: that training has.
    """
    began = time.perf_counter()
    enough = min(_MEASURING_SECONDS, _MEASURING * 60 * minutes)
    run.initialise()
    device, precision = run.runtime.device, run.runtime.precision
    run.model.to(device)
    run.network.train()
    optimizer = run.optimizer(run.model)
    seconds: list[float] = []

    def step(mini_batch: MiniBatch) -> float:
        start = time.perf_counter()
        for part in mini_batch.to(device).split(run.rules.accumulate):
            with autocast(device, precision):
                losses = run.network(part.images, part.targets)
            losses.total().backward()
        optimizer.step()  # its rate is zero: the times are those of training, the weights stay
        optimizer.zero_grad(set_to_none=True)
        _wait(device)
        return time.perf_counter() - start

    for mini_batch in islice(run.batches(0), STEPS // 2):
        step(mini_batch)
        seconds.append(step(mini_batch))
        if len(seconds) >= _FEWEST_TIMED and time.perf_counter() - began > enough:
            break
    picture = _validation_seconds(run.validation) if run.processes.is_first else 0.0
    return StepTime(float(np.mean(seconds)), picture, time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _validation_seconds(validation: object) -> float:
    if not isinstance(validation, DetectionValidation):
        return 0.0
    few = replace(validation.dataset, examples=validation.dataset.examples[:3])
    detector = validation.detector()
    start = 0.0
    for _ in range(2):  # as with steps
        start = time.perf_counter()
        detect_dataset(detector, few, batch_size=len(few), workers=0)
    return (time.perf_counter() - start) / len(few)


def timed(
    time_of: StepTime, *, steps: int, validated: int, minutes: float, fill: bool
) -> tuple[Mapping[str, Any], str]:
    """The steps that fit into ``minutes``, with validations and checkpoints between them.

    ``steps``: as many at most, unless the time is to be filled (``fill``); all of them where
    ``minutes`` is infinite.  Where ``minutes`` that are to be filled have room for too few to learn
    anything, the reason warns of it.
    """
    budget = 60 * minutes
    once = max(time_of.picture * validated, 1e-3)
    left = max(budget - time_of.measuring, 0.0)

    def fitting(validations: int) -> int:
        seconds = left - validations * once
        return steps if math.isinf(seconds) else max(1, int(seconds / time_of.step))

    wanted = fitting(1) if fill else min(steps, fitting(1))
    total = wanted * time_of.step
    as_many = min(_VALIDATING * total / once, (total - once) / (_BETWEEN_VALIDATIONS + once))
    validations = int(np.clip(as_many, 1, _VALIDATIONS))
    wanted = min(wanted, fitting(validations))
    if not fill:  # nobody has asked for so little time that nothing is learnt
        wanted = max(wanted, min(steps, _FEWEST))
    values = {
        "schedule.rules.iterations": wanted,
        "schedule.rules.evaluate_every": -(-wanted // validations),
        "schedule.rules.checkpoint_every": max(1, int(_CHECKPOINT_SECONDS / time_of.step)),
        "schedule.learning_rate.warmup_iterations": min(100, wanted // 10),
    }
    whole = (wanted * time_of.step + validations * once + time_of.measuring) / 60
    limit = "" if wanted == steps else f", which is what {minutes:g} minutes have room for"
    if fill and wanted < _FEWEST:
        limit += f" (WARNING: fewer than {_FEWEST} steps teach a detector little)"
    validating = "a validation are" if validations == 1 else f"{validations} validations are"
    return values, (
        f"a step takes {time_of.step:.2f} s and a validation {once:.0f} s here: {wanted} steps and "
        f"{validating} {round(whole, 1):g} minutes{limit}; saved about every two minutes"
    )
