"""Cores: how many of the processor's cores this process may use, and how they are shared out.

Three things limit them: the affinity (``taskset``, Slurm), the quota of a control group
(``docker run --cpus=2``), and threads that share a core, which compute hardly more than one does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Reading pictures takes a small part of the time that a CPU needs for the network.
CORES_PER_WORKER = 8
MOST_WORKERS = 8


@dataclass(frozen=True)
class Cores:
    """``allowed``: the numbers of the logical cores in the affinity.  ``physical``: how many cores
    they are threads of.  ``quota``: of the control group, in cores; None: unlimited.
    """

    allowed: frozenset[int]
    physical: int
    quota: float | None

    @property
    def usable(self) -> int:
        """How many threads can run at once."""
        limit = len(self.allowed) if self.quota is None else round(self.quota)
        return max(1, min(len(self.allowed), limit))

    def __str__(self) -> str:
        number = len(self.allowed)
        shared = f" ({self.physical} physical)" if self.physical < number else ""
        quota = "" if self.quota is None else f", a control group's quota of {self.quota:g}"
        return f"{_counted(number, 'core')}{shared}{quota}"


@dataclass(frozen=True)
class Share:
    """``threads`` that compute, and ``workers``: processes that read images."""

    threads: int
    workers: int


def share_of(cores: Cores, *, processes: int = 1, on_gpu: bool = False) -> Share:
    """The one rule by which a process's network and its workers share the cores.

    ``processes``: how many of this kind run on the machine, each with its part of the cores.

    One core: the process reads for itself.  Up to 7: all of them compute, and one worker reads
    beside them.  From 8 on, one of 8 reads and the others compute.  Beside a GPU all but one read.
    At most 8 read.
    """
    usable = max(1, cores.usable // processes)
    if usable == 1:
        return Share(threads=1, workers=0)
    reading = usable - 1 if on_gpu else max(1, usable // CORES_PER_WORKER)
    computing = usable if usable < CORES_PER_WORKER else usable - usable // CORES_PER_WORKER
    physical = max(1, cores.physical // processes)
    return Share(threads=min(physical, computing), workers=min(reading, MOST_WORKERS))


def local_processes(environment: Mapping[str, str]) -> int:
    """How many processes torchrun has started on this machine; 1 without it."""
    value = environment.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(value)) if value.isdigit() else 1


def find_cores(root: Path = Path("/")) -> Cores:
    """Those of this process.  ``root``: where /proc and /sys are."""
    try:
        allowed = frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        allowed = frozenset(range(os.cpu_count() or 1))
    return Cores(allowed, _physical(allowed, root), quota_of(root))


def quota_of(root: Path = Path("/")) -> float | None:
    """The smallest quota of this process's control groups, v1 and v2, in cores; None: unlimited."""
    quotas = []
    for folder in control_groups(root):
        try:
            if (folder / "cpu.max").is_file():  # v2: "200000 100000" or "max 100000"
                quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            else:
                quota = (
                    (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
                )  # -1: unlimited
                period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
            if quota != "max" and int(quota) > 0:
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return min(quotas, default=None)


def control_groups(root: Path = Path("/")) -> list[Path]:
    """The folders of this process's control groups that can limit the CPU, innermost first.

    Inside a container the path in /proc/self/cgroup may be the host's; the container's own group is
    then the root of the mount, which always comes last.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup"
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tops = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [mount / "cpu", mount / "cpu,cpuacct", mount / "cpuacct,cpu"]
        else:
            continue
        for top in tops:
            inner = top / path.lstrip("/")
            parents = [inner, *inner.parents]
            found += [folder for folder in parents if folder == top or top in folder.parents]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _physical(allowed: frozenset[int], root: Path) -> int:
    cores = set()
    for number in allowed:
        topology = root / f"sys/devices/system/cpu/cpu{number}/topology"
        try:
            cores.add((topology / "thread_siblings_list").read_text(encoding="utf-8").strip())
        except OSError:
            return len(allowed)
    return len(cores)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
