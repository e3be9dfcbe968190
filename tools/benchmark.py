"""Times this project's parts against their peers, and against what the machine could do.

python tools/benchmark.py suite=ops [device=cuda] [ops.rois=128]
python tools/benchmark.py suite=inference     (or train, data, evaluation: tools/benchmarks/)

What is compared with each other is run in turn, round after round, so that a busy moment of the
machine hits all alike; outputs are compared before anything is timed.  Prints a table and leaves
output_dir/<suite>.json: "rows" with name, dtype, median_s, min_s, max_s, peak_mb (memory on top of
what the row starts with) and ratio (the peer's time over this row's; above 1 is faster), and facts
about the machine.
"""

from __future__ import annotations

import importlib
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torchvision
from omegaconf import DictConfig
from torch import Tensor

from detection.ops import extension
from detection.ops.roi_pool import roi_align, roi_pool
from detection.whole_file import write_text
from tools.launch import launch

MEGABYTE = 1 << 20
NETWORK_SUITES = ("inference", "train", "data", "evaluation", "growth")  # tools/benchmarks/


@dataclass(frozen=True)
class Case:
    """Something to time.

    ``peer`` names the case that it is compared with, None for a peer.  ``traffic``: the bytes that
    it cannot help reading and writing, 0 if that says nothing.  ``rehearsed``: each
    timed run comes straight after one that is not timed.  A virtual machine gives memory that lies
    free for seconds back to its host; to fetch 240 MB again takes up to 0.6 s, their page faults
    within the machine 0.02 s (of 2 MiB) or 0.13 s (of 4 KiB).  Without a rehearsal it is up to the
    rows before it whether a short row with a large result meets that.
    """

    name: str
    dtype: str
    run: Callable[[], object]
    peer: str | None = None
    traffic: int = 0
    rehearsed: bool = False


@dataclass(frozen=True)
class Row:
    """One case's times in seconds, and what they are compared with."""

    name: str
    dtype: str
    median_s: float
    min_s: float
    max_s: float
    peak_mb: float | None
    ratio: float | None
    fraction_of_bandwidth: float | None


def main(config: DictConfig) -> None:
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if config.suite in NETWORK_SUITES:
        importlib.import_module("tools.benchmarks.report").run(config, device)
        return
    bandwidth = copy_bandwidth(device)
    if config.suite == "ops":
        groups = ops_groups(device=device, **config.ops)
    else:
        choices = ", ".join(("ops", *NETWORK_SUITES))
        raise ValueError(f"suite={config.suite}: there is no such suite; choose from: {choices}")
    rows = []
    for cases in groups:
        rows += measure(
            cases, device=device, repeats=config.repeats, warmup=config.warmup, bandwidth=bandwidth
        )
    print(as_markdown(rows))
    print(f"\n{machine(device)}; copying runs at {bandwidth / 1e9:.1f} GB/s (read + written)")
    report = {
        "suite": config.suite,
        "machine": machine(device),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "kernels": extension.cuda if device.type == "cuda" else extension.cpu,
        "threads": torch.get_num_threads(),
        "copy_bytes_per_s": bandwidth,
        "settings": {str(key): value for key, value in dict(config[config.suite]).items()},
        "rows": [asdict(row) for row in rows],
    }
    path = Path(config.output_dir) / f"{config.suite}.json"
    write_text(path, json.dumps(report, indent=2, default=list) + "\n")
    print(f"written: {path}")


# ---- Measuring -------------------------------------------------------------------------------


def measure(
    cases: Sequence[Case], *, device: torch.device, repeats: int, warmup: int, bandwidth: float
) -> list[Row]:
    """One row per case, from ``repeats`` rounds after ``warmup`` rounds that do not count."""
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, is {repeats}")
    for _ in range(warmup):
        for case in cases:
            case.run()
    peaks = [peak_megabytes(case.run, device) for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    order = random.Random(0)  # no row always follows the same one, whose caches it would inherit
    for _ in range(repeats):
        for i in order.sample(range(len(cases)), len(cases)):
            if cases[i].rehearsed:
                cases[i].run()
            times[i].append(elapsed(cases[i].run, device))
    peers = {
        case.name: statistics.median(seconds)
        for case, seconds in zip(cases, times, strict=True)
        if case.peer is None
    }
    return [
        Row(
            name=case.name,
            dtype=case.dtype,
            median_s=statistics.median(seconds),
            min_s=min(seconds),
            max_s=max(seconds),
            peak_mb=peak,
            ratio=peers[case.peer] / statistics.median(seconds) if case.peer else None,
            fraction_of_bandwidth=(
                case.traffic / bandwidth / statistics.median(seconds) if case.traffic else None
            ),
        )
        for case, seconds, peak in zip(cases, times, peaks, strict=True)
    ]


def elapsed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until its last kernel has ended; its result is freed in that time."""
    synchronize(device)
    start = time.perf_counter()
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


def as_markdown(rows: Sequence[Row]) -> str:
    lines = [
        "| | type | median | min | max | memory | x peer | of bandwidth |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        times = [f"{1000 * s:.1f} ms" for s in (row.median_s, row.min_s, row.max_s)]
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f} MB"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        part = "" if row.fraction_of_bandwidth is None else f"{row.fraction_of_bandwidth:.0%}"
        lines.append("| " + " | ".join([row.name, row.dtype, *times, memory, ratio, part]) + " |")
    return "\n".join(lines)


# ---- Suite: ops ------------------------------------------------------------------------------


def ops_groups(
    *,
    device: torch.device,
    rois: int,
    channels: int,
    height: int,
    width: int,
    stride: int,
    output_size: int,
    dtypes: Sequence[str],
    layouts: Sequence[str],
    seed: int,
) -> Iterator[list[Case]]:
    """RoI pooling and RoIAlign, forward and backward, beside torchvision's (float32).

    With a bin step of 2, torchvision pools everything and its result is subsampled.  A group is
    made when it is asked for: together they hold gigabytes, which the machine would begin to swap.
    """
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height]) * float(stride)
    centres, sides = (torch.rand(rois, 2, generator=generator) * size for _ in range(2))
    boxes = torch.cat((torch.zeros(rois, 1), centres - 0.3 * sides, centres + 0.3 * sides), 1)
    boxes[:, 1:] = torch.minimum(boxes[:, 1:].clamp(min=0), size.repeat(2))
    boxes = boxes.to(device)
    features = torch.randn(1, channels, height, width, generator=generator).relu_().to(device)
    for layout in layouts:
        given = features.contiguous(memory_format=_layout(layout))
        for operator in ("roi_pool", "roi_align"):
            call = _Operator(operator, boxes, output_size, 1 / stride)
            for step in (1, 2):
                yield _ops_cases(call, given, layout, step, dtypes)


def _layout(name: str) -> torch.memory_format:
    layouts = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
    if name not in layouts:
        raise ValueError(f"ops.layouts holds {name!r}; choose from {', '.join(layouts)}")
    return layouts[name]


@dataclass(frozen=True)
class _Operator:
    """One of the two operators with everything but features and bin step."""

    name: str
    boxes: Tensor
    output_size: int
    scale: float

    def ours(self, features: Tensor, step: int) -> Tensor:
        if self.name == "roi_pool":
            return roi_pool(features, self.boxes, self.output_size, self.scale, step)
        return roi_align(features, self.boxes, self.output_size, self.scale, 0, True, step)

    def torchvisions(self, features: Tensor, step: int) -> Tensor:
        size, scale = self.output_size, self.scale
        if self.name == "roi_pool":
            pooled = torchvision.ops.roi_pool(features, self.boxes, size, scale)
        else:
            pooled = torchvision.ops.roi_align(features, self.boxes, size, scale, 0, True)
        return pooled[:, :, ::step, ::step]


def _ops_cases(
    call: _Operator, features: Tensor, layout: str, step: int, dtypes: Sequence[str]
) -> list[Case]:
    place = f"{layout}, " + ("every bin" if step == 1 else "every second bin")
    theirs = _runs(lambda x: call.torchvisions(x, step), features)
    peers = {
        kind: Case(f"torchvision {call.name}, {kind} ({place})", "float32", run, rehearsed=True)
        for kind, run in theirs.items()
    }
    cases = list(peers.values())
    for dtype in dtypes:
        given = features.to(getattr(torch, dtype))
        ours = _runs(lambda x: call.ours(x, step), given)
        # Rounding the features changes which of two cells wins, so torchvision gets them rounded.
        same = _runs(lambda x: call.torchvisions(x, step), given.float())
        pooled = ours["inference"]()
        _compare(f"{call.name} ({place})", pooled, same["inference"]())
        _compare(f"{call.name}'s gradient ({place})", ours["backward"]()[0], same["backward"]()[0])
        for kind, run in ours.items():
            traffic = _traffic(call.name, kind, given, pooled.numel())
            name = f"{call.name}, {kind} ({place})"
            cases.append(Case(name, dtype, run, peers[kind].name, traffic, rehearsed=True))
    return cases


def _runs(pool: Callable[[Tensor], Tensor], features: Tensor) -> dict[str, Callable[[], Any]]:
    """Pooling for inference, pooling for training, and the gradient."""
    differentiable = features.detach().clone().requires_grad_()
    kept = pool(differentiable)
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(kept.shape, generator=generator).to(kept.device, kept.dtype)
    if kept.stride(1) == 1:
        grad = grad.contiguous(memory_format=torch.channels_last)

    def inference() -> Tensor:
        with torch.no_grad():
            return pool(features)

    def training() -> Tensor:
        return pool(differentiable)

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(kept, differentiable, grad, retain_graph=True)

    return {"inference": inference, "training": training, "backward": backward}


def _compare(name: str, ours: Tensor, expected: Tensor) -> None:
    """Raises if outputs differ by more than rounding; RoIPool's float32 maxima must be equal."""
    tolerance = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}.get(ours.dtype, 0)
    difference = (ours.float() - expected.float()).abs().max()
    if difference > tolerance * expected.abs().max():
        raise AssertionError(f"{name} in {ours.dtype} is off torchvision's by {difference:.3g}")


def _traffic(name: str, kind: str, features: Tensor, pooled: int) -> int:
    """Bytes: the map read or written once, the pooled numbers once, and RoIPool's argmax."""
    with_argmax = name == "roi_pool" and kind != "inference"
    cells = features.shape[2] * features.shape[3]
    argmax = (1 if cells <= 0xFF else 2 if cells <= 0xFFFF else 4) if with_argmax else 0
    return (features.numel() + pooled) * features.element_size() + pooled * argmax


if __name__ == "__main__":
    launch(main, config="benchmark")
