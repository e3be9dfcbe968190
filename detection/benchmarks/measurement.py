"""The measurement: cases run in turn, round after round, and the row that each of them yields."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from detection.benchmarks.clock import elapsed
from detection.benchmarks.memory import peak_megabytes
from detection.benchmarks.stages import Stages, timed_stages


@dataclass(frozen=True)
class Case:
    """Something to time.

    ``peer``: another project's code; ours is compared with the fastest peer.
    ``gflop``: the arithmetic of direct convolution, even if less is computed; 0: unknown.
    ``traffic``: the bytes that must be read and written at least; 0: unknown.
    ``items``: the number of images (or boxes, files) that one call handles.
    ``facts``: copied into the row.
    ``rehearsed``: a run that is not timed comes directly before each timed run.  A virtual machine
    gives memory that has been free for seconds back to its host.  To get 240 MB again takes up to
    0.6 s; the page faults within the machine take 0.02 s (of 2 MiB) or 0.13 s (of 4 KiB).  Without
    a rehearsal, the rows before a short row with a large result decide whether it pays for that.
    """

    name: str
    dtype: str
    run: Callable[[], object]
    peer: bool = False
    gflop: float = 0.0
    traffic: int = 0
    items: int = 1
    rehearsed: bool = False
    stages: Stages = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One case's times in seconds.

    ``peak_mb``: memory on top of what was held when the case began.
    ``ratio``: the median of the fastest peer over that of this row; None for peers.
    ``ceiling_gflops``: the machine's best in this type.
    ``fraction_of_ceiling``: ``gflop`` per second over the ceiling; above 1 if the algorithm needs
    less arithmetic than direct convolution.
    ``fraction_of_bandwidth``: ``traffic`` per second over that of a copy.
    ``stages_s``: the median of each stage.
    """

    name: str
    dtype: str
    median_s: float
    min_s: float
    max_s: float
    peak_mb: float | None
    ratio: float | None
    gflop: float | None
    ceiling_gflops: float | None
    fraction_of_ceiling: float | None
    fraction_of_bandwidth: float | None
    per_second: float
    stages_s: dict[str, float]
    facts: dict[str, Any]


def measure(
    cases: Sequence[Case],
    *,
    device: torch.device,
    repeats: int,
    warmup: int,
    ceilings: Mapping[str, float],
    bandwidth: float,
) -> list[Row]:
    """One row per case, from ``repeats`` rounds after ``warmup`` rounds that are not timed.

    Every round runs every case once, in a new random order.  Memory is measured before, in a call
    of its own.  ``ceilings``: GFLOP/s in each type.  ``bandwidth``: bytes per second of a copy.
    Raises ValueError if ``repeats`` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, is {repeats}")
    for _ in range(warmup):
        for case in cases:
            case.run()
    peaks = [peak_megabytes(case.run, device) for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    stages: list[list[dict[str, float]]] = [[] for _ in cases]
    # In a fixed order, a row would always find the caches as the same other row leaves them.
    order = random.Random(0)
    for _ in range(repeats):
        for i in order.sample(range(len(cases)), len(cases)):
            if cases[i].rehearsed:
                cases[i].run()
            seconds, in_stages = _timed(cases[i], device)
            times[i].append(seconds)
            stages[i].append(in_stages)
    medians = [statistics.median(seconds) for seconds in times]
    fastest = min((m for m, case in zip(medians, cases, strict=True) if case.peer), default=None)
    rows = []
    for i, case in enumerate(cases):
        ceiling = ceilings.get(case.dtype) if case.gflop else None
        rows.append(
            Row(
                name=case.name,
                dtype=case.dtype,
                median_s=medians[i],
                min_s=min(times[i]),
                max_s=max(times[i]),
                peak_mb=peaks[i],
                ratio=None if case.peer or fastest is None else fastest / medians[i],
                gflop=case.gflop or None,
                ceiling_gflops=ceiling,
                fraction_of_ceiling=case.gflop / medians[i] / ceiling if ceiling else None,
                fraction_of_bandwidth=(
                    case.traffic / medians[i] / bandwidth if case.traffic else None
                ),
                per_second=case.items / medians[i],
                stages_s={
                    stage: statistics.median(seconds[stage] for seconds in stages[i])
                    for stage in case.stages
                },
                facts=dict(case.facts),
            )
        )
    return rows


def _timed(case: Case, device: torch.device) -> tuple[float, dict[str, float]]:
    """Seconds of the whole call, and of its stages."""
    if device.type == "cpu":
        with timed_stages(case.stages, device) as in_stages:
            return elapsed(case.run, device), in_stages
    # Timing stages makes the host wait for the GPU, so the whole call is timed separately.
    seconds = elapsed(case.run, device)
    with timed_stages(case.stages, device) as in_stages:
        if case.stages:
            case.run()
    return seconds, in_stages
