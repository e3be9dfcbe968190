"""The device, the precision and the processes that a command computes with."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

import torch

from detection.engine.choices import Choices, choices_of_process
from detection.engine.distributed import Processes, resolve_device
from detection.machine.cores import find_cores, local_processes, share_of
from detection.machine.neighbours import Watch
from detection.machine.threads import POLICY, SPINS, THREADS, ThreadFollower, chosen_by, half
from detection.model.region_cache import REGIONS_AT_ONCE
from detection.precision import Precision

log = logging.getLogger(__name__)

ALONE = Processes(rank=0, world_size=1, local_rank=0)


def nothing_follows() -> None:
    """As many threads to the end as at the start."""


@dataclass(frozen=True)
class Runtime:
    """``workers``: processes that read images; 0: none besides this one.

    ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
    ``regions_at_once``: see :func:`detection.model.region_cache.in_chunks`.
    ``follow_neighbours``: to be called between two steps, adapts the threads to what else runs.
    """

    device: torch.device
    precision: Precision
    workers: int
    winograd: bool | tuple[int, ...]
    regions_at_once: int
    follow_neighbours: Callable[[], None] = field(default=nothing_follows, compare=False)


def set_up_runtime(
    *,
    device: str,
    precision: Literal["auto", "fp32", "bf16"],
    deterministic: bool,
    workers: int | Literal["auto"],
    winograd: bool | Literal["auto"] | Collection[int],
    regions_at_once: int | Literal["auto"],
    processes: Processes = ALONE,
    one_size: bool = False,
) -> Runtime:
    """Checks and applies the ``runtime`` configuration; ValueError says what is not available.

    ``precision``, ``winograd``, ``regions_at_once``: auto is what is fastest here
    (:mod:`detection.engine.choices`): the first of the ``processes`` says what, for all.  With
    ``deterministic`` nothing is measured, and auto is fp32, no Winograd and a fixed number.
    ``workers``: auto is the rule of :func:`detection.machine.cores.share_of`.
    ``one_size``: whether all mini-batches have the same shape, as a classifier's crops do.
    """
    _check(precision, workers, winograd, regions_at_once)
    chosen = resolve_device(device, processes.local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        # torch's default for fp32 convolutions is TF32, which has 10 bits of mantissa and not 23.
        torch.backends.cudnn.allow_tf32 = False
    else:
        _keep_freed_memory()
    # The search for the best algorithm is per input size: with many sizes it would never end.
    torch.backends.cudnn.benchmark = one_size and not deterministic
    if deterministic != torch.are_deterministic_algorithms_enabled():
        # It imports torch._inductor, for longer than all the rest of torch takes.
        torch.use_deterministic_algorithms(deterministic)
    reason = ""
    if regions_at_once == "auto" and chosen.type == "cuda":
        regions_at_once = REGIONS_AT_ONCE
    if "auto" in (precision, winograd, regions_at_once):
        fastest = _fastest(chosen, deterministic, processes)
        if precision == "auto":
            precision, reason = fastest.precision, f" ({fastest.why})"
        if winograd == "auto":
            winograd = fastest.winograd
        if regions_at_once == "auto":
            regions_at_once = fastest.regions_at_once
    if workers == "auto":
        local = local_processes(os.environ)
        workers = share_of(find_cores(), processes=local, on_gpu=chosen.type == "cuda").workers
    assert precision != "auto"
    assert not isinstance(winograd, str)
    assert not isinstance(regions_at_once, str)
    wanted = winograd if isinstance(winograd, bool) else tuple(winograd)
    follow = nothing_follows if deterministic else _follower(processes)
    runtime = Runtime(chosen, precision, workers, wanted, regions_at_once, follow)
    log.info("%s", _in_words(runtime, reason))
    return runtime


def _check(precision: str, workers: object, winograd: object, regions: object) -> None:
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"runtime.precision must be auto, fp32 or bf16, got {precision!r}")
    if workers != "auto" and (not isinstance(workers, int) or workers < 0):
        raise ValueError(f"runtime.workers must be auto, or 0 or more, got {workers!r}")
    if isinstance(winograd, str) and winograd != "auto":
        raise ValueError(
            f"runtime.winograd must be auto, true, false or a list of channels, got {winograd!r}"
        )
    if regions != "auto" and (type(regions) is not int or regions < 1):
        raise ValueError(f"runtime.regions_at_once must be auto, or 1 or more, got {regions!r}")


def _fastest(device: torch.device, deterministic: bool, processes: Processes) -> Choices:
    if deterministic:
        return Choices("fp32", (), REGIONS_AT_ONCE, {}, "deterministic")
    measured = choices_of_process(device, torch.get_num_threads()) if processes.is_first else None
    agreed = processes.from_first(measured)
    assert isinstance(agreed, Choices)
    return agreed


def _follower(processes: Processes) -> Callable[[], None]:
    """Nothing where the number of threads is the user's, or a program's that has not asked us."""
    process, names = chosen_by(os.environ)
    cores = find_cores()
    most = share_of(cores).threads
    if process != os.getpid() or THREADS not in names or most == 1 or processes.world_size > 1:
        return nothing_follows
    if {POLICY, SPINS} & (os.environ.keys() - names):
        return nothing_follows
    return ThreadFollower(
        now=torch.get_num_threads(),
        most=most,
        least=half(most) if POLICY in names else 1,
        cores=cores,
        free=Watch(cores).free,
        set_threads=torch.set_num_threads,
    )


def _in_words(runtime: Runtime, reason: str) -> str:
    """One line; ``reason``: of the precision."""
    parts = [f"{runtime.device} in {runtime.precision}{reason}"]
    if runtime.device.type == "cpu" and runtime.precision == "fp32":
        if isinstance(runtime.winograd, tuple) and runtime.winograd:
            channels = ", ".join(map(str, runtime.winograd))
            parts.append(f"Winograd's 3x3 convolutions of {channels} channels")
        elif runtime.winograd:
            parts.append("Winograd's 3x3 convolutions")
    readers = {0: "no process", 1: "1 process"}.get(runtime.workers, f"{runtime.workers} processes")
    parts.append(f"{readers} beside it to read images")
    return ", ".join(parts)


def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory for later allocations; does nothing with other C libraries.

    By default glibc returns each large tensor to the system and gets new pages, zeroed, for the
    next one.  That takes a quarter of the time of a small training step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX in malloc.h
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)
