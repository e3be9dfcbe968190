"""Neighbours: what else computes on the cores of this process.

The kernel counts in /proc/stat how long each core was busy.  Inside a container it counts for the
whole machine: also there only the cores of the affinity matter.  /proc/loadavg is no help: it still
holds what ended a minute ago, and inside a container it too is the machine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from detection.machine.cores import Cores, control_groups

# A process this much nicer than ours, and of our session, gives way to us: it gets a tenth.
GIVES_WAY = 10


def free_cores(
    cores: Cores,
    *,
    seconds: float = 0.15,
    root: Path = Path("/"),
    sleep: Callable[[float], None] = time.sleep,
) -> float | None:
    """How many of ``cores`` are free for this process, as a mean over ``seconds`` of sleep.

    See :meth:`Watch.free`.
    """
    watch = Watch(cores, root=root)
    sleep(seconds)
    return watch.free()


class Watch:
    """What others leave free of ``cores``, from one look to the next; the first is the making."""

    def __init__(
        self,
        cores: Cores,
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cores, self._root, self._clock = cores, root, clock
        self._before = self._look()

    def free(self) -> float | None:
        """How many of the usable cores were free for this process and those below it, as a mean.

        Processes that give way to this one count as free.  None where there is no /proc, where it
        does not show all cores, and where no time has passed.
        """
        before, after = self._before, self._look()
        self._before = after
        if before is None or after is None or after.ticks <= before.ticks:
            return None
        usable = float(self._cores.usable)
        ticks_of_a_core = (after.ticks - before.ticks) / len(self._cores.allowed)
        own = max(0, after.own - before.own)
        gives_way = max(0, after.gives_way - before.gives_way)
        idle = after.idle - before.idle + gives_way + own
        free = min(usable, idle / ticks_of_a_core)
        if self._cores.quota is not None and before.group is not None and after.group is not None:
            others = after.group - before.group - own / TICKS
            free = min(free, usable - others / max(after.seconds - before.seconds, 1e-3))
        return max(0.0, min(free, usable))

    def _look(self) -> _Counters | None:
        try:
            return _Counters(self._cores, self._root, self._clock())
        except (OSError, ValueError, IndexError):
            return None


class _Counters:
    """``ticks``: of the allowed cores; ``idle``: those that no process of this machine has used.

    ``own``: ticks of this process and all below it, ``gives_way``: of others that are nicer.
    ``group``: seconds that the control group has used; None: unknown.
    Raises ValueError where /proc does not show all cores, as in some containers.
    """

    def __init__(self, cores: Cores, root: Path, seconds: float) -> None:
        self.seconds = seconds
        self.ticks = self.idle = shown = 0
        for line in (root / "proc/stat").read_text(encoding="utf-8").splitlines():
            name, *values = line.split()
            if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores.allowed:
                # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
                counted = [int(value) for value in values[:8]]
                self.ticks += sum(counted)
                # The hypervisor takes what is stolen: fewer threads would not bring it back.
                self.idle += counted[3] + counted[4] + counted[7]
                shown += 1
        if shown < len(cores.allowed):
            raise ValueError(f"{shown} of {len(cores.allowed)} cores in {root / 'proc/stat'}")
        processes = _processes(root)
        own = _tree(root, processes)
        self.own = _ticks(processes[name] for name in own)
        others = [fields for name, fields in processes.items() if name not in own]
        self.gives_way = _ticks(_that_give_way(root, others))
        self.group = None if cores.quota is None else _used_by_group(root)


def _processes(root: Path) -> dict[str, list[str]]:
    """Process -> the fields of its stat, behind the name."""
    found = {}
    for folder in (root / "proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                fields = _fields(folder / "stat")
                if len(fields) > NICE:
                    found[folder.name] = fields
    return found


def _ticks(processes: Iterable[list[str]]) -> int:
    """Those of the processes, and of their children that have ended."""
    return sum(int(one) for fields in processes for one in fields[USER : CHILDREN_SYSTEM + 1])


def _tree(root: Path, processes: Mapping[str, list[str]]) -> set[str]:
    """This process and those below it."""
    try:
        left = [os.readlink(root / "proc/self")]
    except OSError:
        return set()
    below: dict[str, list[str]] = {}
    for name, fields in processes.items():
        below.setdefault(fields[PARENT], []).append(name)
    found = set()
    while left:
        name = left.pop()
        if name in processes:
            found.add(name)
            left += below.get(name, [])
    return found


def _that_give_way(root: Path, processes: Iterable[list[str]]) -> list[list[str]]:
    """The processes that are nicer than this one.

    With autogroups, Linux's default, niceness counts among processes of one session alone.
    """
    try:
        own = _fields(root / "proc/self/stat")
    except OSError:
        return []
    try:
        autogroup = (root / "proc/sys/kernel/sched_autogroup_enabled").read_text(
            encoding="utf-8"
        ).strip() == "1"
    except OSError:
        autogroup = False
    return [
        other
        for other in processes
        if int(other[NICE]) - int(own[NICE]) >= GIVES_WAY
        and (other[SESSION] == own[SESSION] or not autogroup)
    ]


# Positions behind the name in /proc/<pid>/stat.
PARENT, SESSION, USER, SYSTEM, CHILDREN_SYSTEM, NICE = 1, 3, 11, 12, 14, 16
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # a second


def _fields(stat: Path) -> list[str]:
    # The name is in parentheses and may hold anything, ") " too.
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()


def _used_by_group(root: Path) -> float | None:
    for folder in control_groups(root):
        try:
            if (folder / "cpu.max").is_file():
                lines = (folder / "cpu.stat").read_text(encoding="utf-8").splitlines()
                used = next(line.split()[1] for line in lines if line.startswith("usage_usec"))
                return int(used) / 1e6
            if (folder / "cpuacct.usage").is_file():
                return int((folder / "cpuacct.usage").read_text(encoding="utf-8")) / 1e9
        except (OSError, ValueError, StopIteration):
            continue
    return None
