"""What the suites share: rounds in turn, the split into stages, FLOPs, the machine's ceiling."""

from __future__ import annotations

import contextlib
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

MEGABYTE = 1 << 20
GPU_SECONDS = 0.02
# What a stage consists of: methods, each as (object, name).
Stages = Mapping[str, Sequence[tuple[object, str]]]


@dataclass(frozen=True)
class Case:
    """Something to time.  ``peer``: it is another's, and ours are compared with the fastest.

    ``gflop``: the arithmetic of direct convolution, whatever is really computed; 0: says nothing.
    ``traffic``: the bytes that it cannot help reading and writing, 0: says nothing.
    ``items``: how many images, or what else, one call does.  ``facts``: for the row, as they are.
    ``rehearsed``: each timed run comes straight after one that is not timed.  A virtual machine
    gives memory that lies free for seconds back to its host; to fetch 240 MB again takes up to
    0.6 s, their page faults within the machine 0.02 s (of 2 MiB) or 0.13 s (of 4 KiB).  Without a
    rehearsal it is up to the rows before it whether a short row with a large result meets that.
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

    ``peak_mb``: memory on top of what the case began with.  ``ratio``: the median of the fastest
    peer over this one's; None for peers.  ``ceiling_gflops``: the machine's best in this type.
    ``fraction_of_ceiling``: ``gflop`` per second over it; above 1 where an algorithm needs less
    arithmetic.  ``fraction_of_bandwidth``: ``traffic`` per second over a copy's.  ``stages_s``:
    medians of the parts.
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
    """One row per case, from ``repeats`` rounds after ``warmup`` rounds that do not count.

    Every round runs every case once, in an order drawn anew; memory is measured in a call before.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, is {repeats}")
    for _ in range(warmup):
        for case in cases:
            case.run()
    peaks = [peak_megabytes(case.run, device) for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    parts: list[list[dict[str, float]]] = [[] for _ in cases]
    order = random.Random(0)  # no row always follows the same one, whose caches it would inherit
    for _ in range(repeats):
        for i in order.sample(range(len(cases)), len(cases)):
            if cases[i].rehearsed:
                cases[i].run()
            seconds, in_stages = _timed(cases[i], device)
            times[i].append(seconds)
            parts[i].append(in_stages)
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
                    stage: statistics.median(seconds[stage] for seconds in parts[i])
                    for stage in case.stages
                },
                facts=dict(case.facts),
            )
        )
    return rows


def _timed(case: Case, device: torch.device) -> tuple[float, dict[str, float]]:
    """Seconds of the whole and of its stages."""
    if device.type == "cpu":
        with timed_stages(case.stages, device) as in_stages:
            return elapsed(case.run, device), in_stages
    # Between stages the host waits for a GPU: the whole is timed without them.
    seconds = elapsed(case.run, device)
    with timed_stages(case.stages, device) as in_stages:
        if case.stages:
            case.run()
    return seconds, in_stages


def elapsed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until its last kernel has ended; its result is freed in that time.

    On a GPU of as many calls as fill ``GPU_SECONDS``: launching the next one then goes on beside
    the kernels, as it does in a network.
    """
    seconds = _elapsed(run, device, 1)
    if device.type == "cpu" or seconds > GPU_SECONDS:
        return seconds
    calls = math.ceil(GPU_SECONDS / seconds)
    return _elapsed(run, device, calls) / calls


def _elapsed(run: Callable[[], object], device: torch.device, calls: int) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_megabytes(run: Callable[[], object], device: torch.device) -> float | None:
    """The most memory that one call holds on top of what was there; None where none tells."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
        before = _resident("VmRSS")
        run()
        return (_resident("VmHWM") - before) / MEGABYTE
    except OSError:  # not Linux, or not allowed
        return None


def _resident(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second, read and written, of the fastest of a few large copies."""
    size = (1 << 30 if device.type == "cuda" else 1 << 27) // 4
    source, target = torch.ones(size, device=device), torch.ones(size, device=device)
    seconds = min(elapsed(lambda: target.copy_(source), device) for _ in range(8))
    return 2 * 4 * size / seconds


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def timed_stages(stages: Stages, device: torch.device) -> Iterator[dict[str, float]]:
    """While inside, every call of a stage's method adds its seconds to what is yielded."""
    seconds = dict.fromkeys(stages, 0.0)

    def timed(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            synchronize(device)
            start = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                synchronize(device)
                seconds[stage] += time.perf_counter() - start

        return call

    places = [(stage, *method) for stage, methods in stages.items() for method in methods]
    before = [dict(vars(owner)) for _, owner, _ in places]
    try:
        for stage, owner, name in places:
            vars(owner)[name] = timed(stage, getattr(owner, name))
        yield seconds
    finally:
        for (_, owner, name), own in zip(places, before, strict=True):
            vars(owner).pop(name)
            if name in own:
                vars(owner)[name] = own[name]


def gflop(run: Callable[[], object]) -> float:
    """The floating-point operations of the convolutions and products in one call, / 1e9."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def ceilings(device: torch.device, dtypes: Sequence[str]) -> dict[str, float]:
    """GFLOP/s in each type: the best of a square product and of conv5's convolutions."""
    return {dtype: _ceiling(device, getattr(torch, dtype)) for dtype in dtypes}


@torch.inference_mode()
def _ceiling(device: torch.device, dtype: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    x = torch.randn(32, 512, 7, 7, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    candidates: list[tuple[float, Callable[[], object]]] = [(2.0 * size**3, lambda: a @ b)]
    for channels, side in ((2048, 1), (512, 3)):
        weight = torch.randn(channels, 512, side, side, device=device, dtype=dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        candidates.append(
            (
                2.0 * weight.numel() * x.shape[0] * 49,
                lambda w=weight, pad=side // 2: F.conv2d(x, w, padding=pad),  # type: ignore[misc]
            )
        )
    best = 0.0
    for operations, run in candidates:
        run()
        best = max(best, operations / min(elapsed(run, device) for _ in range(3)) / 1e9)
    return best


def as_markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, and below it one of the stages, if there are any.

    The limit is the ceiling of arithmetic, or the bandwidth of memory.
    """
    lines = [
        "| | type | median | min | max | memory | x fastest peer | of the limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        times = [in_milliseconds(s) for s in (row.median_s, row.min_s, row.max_s)]
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f} MB"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        limit = row.fraction_of_ceiling or row.fraction_of_bandwidth
        part = "" if limit is None else f"{limit:.0%}"
        lines.append("| " + " | ".join([row.name, row.dtype, *times, memory, ratio, part]) + " |")
    staged = [row for row in rows if row.stages_s]
    names = list(dict.fromkeys(stage for row in staged for stage in row.stages_s))
    if staged:
        lines += ["", "| | type | " + " | ".join(names) + " | the rest |"]
        lines.append("|---|---|" + "--:|" * (len(names) + 1))
    for row in staged:
        cells = [in_milliseconds(row.stages_s[n]) if n in row.stages_s else "" for n in names]
        rest = in_milliseconds(max(0.0, row.median_s - sum(row.stages_s.values())))
        lines.append("| " + " | ".join([row.name, row.dtype, *cells, rest]) + " |")
    return "\n".join(lines)


def in_milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def as_plain_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
