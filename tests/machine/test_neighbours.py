"""Neighbours, from two readings of a small /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.machine.cores import Cores
from detection.machine.neighbours import free_cores

TWO = Cores(frozenset({0, 1}), physical=2, quota=None)


def write_stat(root: Path, *rows: tuple[int, int, int]) -> None:
    """(user, nice, idle) ticks of each core."""
    lines = ["cpu  0 0 0 0 0 0 0 0 0 0"]
    lines += [f"cpu{n} {u} {nice} 0 {idle} 0 0 0 0 0 0" for n, (u, nice, idle) in enumerate(rows)]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("\n".join([*lines, "intr 5", ""]))


def write_process(root: Path, pid: str, *, session: int, nice: int, ticks: int) -> None:
    folder = root / "proc" / pid
    folder.mkdir(parents=True, exist_ok=True)
    # The state, parent, group and session; six more; user and system time; two more; the niceness.
    fields = ["R", "1", "1", str(session), *["0"] * 7, str(ticks), "0", "0", "0", "20", str(nice)]
    (folder / "stat").write_text(f"{pid} (a ) b) {' '.join(fields)}\n")


@pytest.mark.parametrize(
    ("after", "free"),
    [
        ([(0, 0, 20), (0, 0, 20)], 2.0),
        ([(20, 0, 0), (0, 0, 20)], 1.0),
        ([(20, 0, 0), (20, 0, 0)], 0.0),
        ([(5, 0, 15), (0, 0, 20)], 1.75),
        # A core that is not ours may be as busy as it likes.
        ([(0, 0, 20), (0, 0, 20), (20, 0, 0)], 2.0),
    ],
)
def test_free_cores(after: list[tuple[int, int, int]], free: float, tmp_path: Path) -> None:
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0), (0, 0, 0))
    found = free_cores(TWO, root=tmp_path, sleep=lambda _: write_stat(tmp_path, *after))
    assert found == pytest.approx(free)


@pytest.mark.parametrize(
    ("session", "nice", "autogroup", "free"),
    [
        (7, 19, "1", 2.0),  # of our session and nicer: it gives way
        (8, 19, "1", 1.0),  # of another login, where niceness counts for nothing
        (8, 19, "0", 2.0),  # unless there are no autogroups
        (7, 5, "1", 1.0),  # hardly nicer
    ],
)
def test_a_nice_process_of_the_same_session_gives_way(
    session: int, nice: int, autogroup: str, free: float, tmp_path: Path
) -> None:
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    write_process(tmp_path, "self", session=7, nice=0, ticks=0)
    write_process(tmp_path, "12", session=session, nice=nice, ticks=100)
    kernel = tmp_path / "proc/sys/kernel"
    kernel.mkdir(parents=True)
    (kernel / "sched_autogroup_enabled").write_text(f"{autogroup}\n")

    def run(_: float) -> None:
        write_stat(tmp_path, (0, 20, 0), (0, 0, 20))
        write_process(tmp_path, "12", session=session, nice=nice, ticks=120)

    assert free_cores(TWO, root=tmp_path, sleep=run) == pytest.approx(free)


def test_others_of_a_control_group_use_its_quota(tmp_path: Path) -> None:
    limited = Cores(frozenset({0, 1}), physical=2, quota=1.5)
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "cpu.stat").write_text("usage_usec 1000000\n")

    def run(_: float) -> None:
        write_stat(tmp_path, (10, 0, 10), (0, 0, 20))
        (group / "cpu.stat").write_text("usage_usec 1100000\n")  # 0.1 s of 0.2 s: half a core

    found = free_cores(limited, seconds=0.2, root=tmp_path, sleep=run)
    assert found == pytest.approx(1.0)


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert free_cores(TWO, root=tmp_path, sleep=lambda _: None) is None
