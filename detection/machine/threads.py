"""Threads: how many compute, and how they wait for each other; chosen before torch is loaded.

libgomp, torch's thread pool, reads its variables once, when it is loaded.  By default a thread
that has finished its part spins until the others have: where another process holds a core, all wait
for the thread that is not running, and a training step takes up to 18 times as long.  With
OMP_WAIT_POLICY=passive they sleep, which makes it two to eight times, and costs a fifth on a quiet
machine.  Threads that have a core each wait for nobody.  So only as many compute as others leave
cores for; half of them at least where the choice is made for good, since those can sleep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from detection.machine.cores import Cores, local_processes, share_of

log = logging.getLogger(__name__)

# A neighbour that takes less of a core than this costs less than a thread that is missing; one that
# takes less than the other number has gone.
DISTURBING, GONE = 0.2, 0.1
SECONDS_BETWEEN_LOOKS = 10.0
# Others may pause for a moment, and two trainings that follow each other would never rest.
LOOKS_FOR_MORE = 3

THREADS, POLICY, SPINS = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
# What was chosen here and not by the user, for the process itself and for those that it starts:
# "<process>:<names of variables>".
CHOSEN = "DETECTION_THREADS"


@dataclass(frozen=True)
class ThreadPlan:
    """``variables``: what is added to the environment.  ``waiting``: in words, with the reason."""

    threads: int
    cores: Cores
    variables: dict[str, str]
    waiting: str

    def __str__(self) -> str:
        return f"{_computing(self.threads)} on {self.cores}" + (
            f"; {self.waiting}" if self.waiting else ""
        )


def plan_threads(
    environment: MutableMapping[str, str],
    cores: Cores,
    *,
    free: Callable[[], float | None],
    fixed: bool = False,
) -> ThreadPlan:
    """The plan of a process that is about to load torch.

    What the user has set in the ``environment`` wins.  ``free``: how many of the cores are free,
    asked only where it matters; None: unknown.  ``fixed``: the number of threads, which sums and so
    the last bits depend on, is the same whatever else runs.
    """
    processes = local_processes(environment)
    variables = {}
    most = share_of(cores, processes=processes).threads
    threads = _first_number(environment.get(THREADS, ""))
    alone = processes == 1 and environment.get("WORLD_SIZE", "1") == "1"
    may_be_fewer = threads is None and alone and not fixed
    if threads is None:
        threads = most
        variables[THREADS] = str(threads)
    waiting = ""
    given = [f"{name}={environment[name]}" for name in (POLICY, SPINS) if name in environment]
    if given:
        waiting = f"they wait as {' and '.join(given)} says"
    elif threads > 1 and (taken := _taken(free, cores, processes)) is not None:
        undisturbed = threads_beside(taken, cores, most=most)
        if may_be_fewer:
            threads = max(undisturbed, half(most))
            variables[THREADS] = str(threads)
        if threads > max(1, undisturbed) and taken >= DISTURBING:
            variables[POLICY] = "passive"
            waiting = f"they sleep while they wait, since others take {taken:.1f} of a core"
        elif may_be_fewer and threads < most:
            waiting = f"no more, since others take {taken:.1f} of a core"
        else:
            waiting = "they spin while they wait, since little else runs"
    return ThreadPlan(threads, cores, variables, waiting)


def half(threads: int) -> int:
    """At least so many compute where they sleep while they wait."""
    return -(-threads // 2)


def _taken(free: Callable[[], float | None], cores: Cores, processes: int) -> float | None:
    """How many of the cores others take."""
    available = free()
    if available is None:
        return None
    # The processes of one training look busy to each other while they load torch.
    others = cores.usable - (processes - 1)
    if others - available >= DISTURBING:
        # What ends just now, such as the program that started this one, disturbs nobody.
        available = max(available, free() or 0.0)
    return max(0.0, others - available)


def threads_beside(
    taken: float, cores: Cores, *, most: int, least: int = 1, disturbing: float = DISTURBING
) -> int:
    """How many of ``most`` threads have a core where others take so many of the ``cores``.

    Two that share a physical core are one.
    """
    of_ours = taken * cores.physical / len(cores.allowed)
    return max(least, min(most, int(most - of_ours + disturbing + 1e-9)))


class ThreadFollower:
    """Keeps threads where they have cores of their own, while neighbours come and go.

    ``now``, ``most``: how many compute, and how many do where nothing else runs.
    ``free``: the ``cores`` that others have left since it was called last; None: unknown.
    ``set_threads``: makes so many compute.  ``least``: never fewer, 1 if they spin while they wait,
    as one alone is better than several that others disturb.
    Call it between two steps, from the thread that computes: it looks every ten seconds.  Threads
    become fewer at once, and more after three looks in a row.
    """

    def __init__(
        self,
        *,
        now: int,
        most: int,
        least: int,
        cores: Cores,
        free: Callable[[], float | None],
        set_threads: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now, self.most, self.least, self.cores = now, most, least, cores
        self._free, self._set_threads, self._clock = free, set_threads, clock
        self._looked, self._looks_for_more = clock(), 0

    def __call__(self) -> None:
        if self._clock() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        free = self._free()
        self._looked = self._clock()
        if free is None:
            return
        taken = self.cores.usable - free
        fewer, more = (
            threads_beside(taken, self.cores, most=self.most, least=self.least, disturbing=one)
            for one in (DISTURBING, GONE)
        )
        self._looks_for_more = self._looks_for_more + 1 if more > self.now else 0
        if fewer < self.now:
            self._change(fewer, taken)
        elif self._looks_for_more == LOOKS_FOR_MORE:
            self._change(more, taken)

    def _change(self, threads: int, taken: float) -> None:
        self.now, self._looks_for_more = threads, 0
        self._set_threads(threads)
        log.info("%s from here on: others take %.1f of a core", _computing(threads), taken)


def _computing(threads: int) -> str:
    return "1 thread computes" if threads == 1 else f"{threads} threads compute"


def chosen_here(names: Iterable[str], *, process: int) -> dict[str, str]:
    """Says in the environment that these variables are no user's."""
    return {CHOSEN: f"{process}:{','.join(names)}"}


def chosen_by(environment: Mapping[str, str]) -> tuple[int | None, set[str]]:
    """The process that has chosen variables of the ``environment``, and which."""
    process, _, names = environment.get(CHOSEN, "").partition(":")
    return (int(process), {*names.split(",")} - {""}) if process.isdigit() else (None, set())


def _first_number(value: str) -> int | None:
    """Of OMP_NUM_THREADS, which may list a number for each level of nesting."""
    first = value.split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None
