"""Threads: how many compute, and how they wait for each other; chosen before torch is loaded.

libgomp, torch's thread pool, reads its variables once, when it is loaded.  By default a thread
that has finished its part spins until the others have: where another process holds a core, all wait
for the thread that is not running, and a training step takes up to 18 times as long.  With
OMP_WAIT_POLICY=passive they sleep: twice as long beside one busy process, but a fifth longer on a
quiet machine.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from detection.machine.cores import Cores, local_processes, share_of

# A neighbour that takes less of a core than this costs less than sleeping does.
DISTURBING = 0.3

THREADS, POLICY, SPINS = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


@dataclass(frozen=True)
class ThreadPlan:
    """``variables``: what is added to the environment.  ``waiting``: in words, with the reason."""

    threads: int
    cores: Cores
    variables: dict[str, str]
    waiting: str

    def __str__(self) -> str:
        noun = "thread computes" if self.threads == 1 else "threads compute"
        return f"{self.threads} {noun} on {self.cores}" + (
            f"; {self.waiting}" if self.waiting else ""
        )


def plan_threads(
    environment: MutableMapping[str, str],
    cores: Cores,
    *,
    free: Callable[[], float | None],
) -> ThreadPlan:
    """The plan of a process that is about to load torch.

    What the user has set in the ``environment`` wins.  ``free``: how many of the cores are free,
    asked only where it matters; None: unknown.
    """
    processes = local_processes(environment)
    variables = {}
    threads = _first_number(environment.get(THREADS, ""))
    if threads is None:
        threads = share_of(cores, processes=processes).threads
        variables[THREADS] = str(threads)
    waiting = ""
    given = [f"{name}={environment[name]}" for name in (POLICY, SPINS) if name in environment]
    if given:
        waiting = f"they wait as {' and '.join(given)} says"
    elif threads > 1:
        available = free()
        if available is not None:
            # The processes of one training look busy to each other while they load torch.
            available += processes - 1
            short = threads - min(available, threads)
            if short >= DISTURBING:
                variables[POLICY] = "passive"
                waiting = f"they sleep while they wait, since others take {short:.1f} of a core"
            else:
                waiting = "they spin while they wait, since little else runs"
    return ThreadPlan(threads, cores, variables, waiting)


def _first_number(value: str) -> int | None:
    """Of OMP_NUM_THREADS, which may list a number for each level of nesting."""
    first = value.split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None
