"""Neighbours: what else computes on the cores of this process.

The kernel counts in /proc/stat how long each core was busy.  Inside a container it counts for the
whole machine: also there only the cores of the affinity matter.  /proc/loadavg is no help: it still
holds what ended a minute ago, and inside a container it too is the machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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

    Processes that give way to this one count as free.  None where there is no /proc.
    """
    try:
        before = _Counters(cores, root)
        sleep(seconds)
        after = _Counters(cores, root)
    except (OSError, ValueError, IndexError):
        return None
    elapsed = after.ticks - before.ticks  # of all cores together
    if elapsed <= 0:
        return None
    ticks_of_a_core = elapsed / len(cores.allowed)
    gives_way = sum(
        max(0, ticks - before.gives_way[process])
        for process, ticks in after.gives_way.items()
        if process in before.gives_way
    )
    idle = after.idle - before.idle
    free = min(float(len(cores.allowed)), (idle + gives_way) / ticks_of_a_core)
    if cores.quota is None or before.group is None or after.group is None:
        return free
    return max(0.0, min(free, cores.quota - (after.group - before.group) / seconds))


class _Counters:
    """``ticks`` and ``idle``: of the allowed cores.  ``gives_way``: process -> its ticks.

    ``group``: seconds that the control group has used; None: unknown.
    """

    def __init__(self, cores: Cores, root: Path) -> None:
        self.ticks = self.idle = 0
        for line in (root / "proc/stat").read_text(encoding="utf-8").splitlines():
            name, *values = line.split()
            if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores.allowed:
                # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
                counted = [int(value) for value in values[:8]]
                self.ticks += sum(counted)
                self.idle += counted[3] + counted[4]
        self.gives_way = _that_give_way(root)
        self.group = None if cores.quota is None else _used_by_group(root)


def _that_give_way(root: Path) -> dict[str, int]:
    """Ticks of the processes that are nicer than this one.

    With autogroups, Linux's default, niceness counts among processes of one session alone.
    """
    try:
        own = _fields(root / "proc/self/stat")
    except OSError:
        return {}
    try:
        autogroup = (root / "proc/sys/kernel/sched_autogroup_enabled").read_text(
            encoding="utf-8"
        ).strip() == "1"
    except OSError:
        autogroup = False
    found = {}
    for folder in (root / "proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            other = _fields(folder / "stat")
        except (OSError, IndexError):  # it has just ended
            continue
        same_session = other[SESSION] == own[SESSION]
        if int(other[NICE]) - int(own[NICE]) >= GIVES_WAY and (same_session or not autogroup):
            found[folder.name] = int(other[USER]) + int(other[SYSTEM])
    return found


# Positions behind the name in /proc/<pid>/stat.
SESSION, USER, SYSTEM, NICE = 3, 11, 12, 16


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
