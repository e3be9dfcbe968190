"""Neighbours, from two readings of a small /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.machine.cores import Cores
from detection.machine.neighbours import TICKS, Watch, free_cores

TWO = Cores(frozenset({0, 1}), physical=2, quota=None)


def write_stat(root: Path, *rows: tuple[int, int, int]) -> None:
    """(user, nice, idle) ticks of each core."""
    lines = ["cpu  0 0 0 0 0 0 0 0 0 0"]
    lines += [f"cpu{n} {u} {nice} 0 {idle} 0 0 0 0 0 0" for n, (u, nice, idle) in enumerate(rows)]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("\n".join([*lines, "intr 5", ""]))


def write_process(
    root: Path,
    pid: str,
    *,
    session: int = 7,
    nice: int = 0,
    ticks: int,
    parent: int = 1,
    ended: int = 0,
) -> None:
    """``ended``: ticks of its children that have ended."""
    folder = root / "proc" / pid
    folder.mkdir(parents=True, exist_ok=True)
    # The state, parent, group and session; seven more; user and system time, the same of children;
    # the priority, the niceness.
    times = [str(ticks), "0", str(ended), "0"]
    fields = ["R", str(parent), "1", str(session), *["0"] * 7, *times, "20", str(nice)]
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


def test_this_process_and_those_below_it_leave_their_cores_free(tmp_path: Path) -> None:
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    (tmp_path / "proc/50").mkdir()
    (tmp_path / "proc/self").symlink_to("50")
    write_process(tmp_path, "50", ticks=1000)
    write_process(tmp_path, "51", ticks=30, parent=50)
    write_process(tmp_path, "52", ticks=70, parent=51)  # it ends
    write_process(tmp_path, "60", ticks=5, parent=1)
    watch = Watch(TWO, root=tmp_path)
    write_stat(tmp_path, (100, 0, 0), (60, 0, 40))
    write_process(tmp_path, "50", ticks=1080)
    write_process(tmp_path, "51", ticks=35, parent=50, ended=75)
    (tmp_path / "proc/52/stat").unlink()
    (tmp_path / "proc/52").rmdir()
    write_process(tmp_path, "53", nice=19, ticks=10, parent=50)  # new and nicer: counted once
    # Of 160 ticks 80 are its own, 5, 5 and 10 of those below it: the others have taken 60 of 100.
    assert watch.free() == pytest.approx(1.4)
    assert watch.free() is None  # no time has passed


def test_nice_processes_that_come_and_end_give_way(tmp_path: Path) -> None:
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    write_process(tmp_path, "50", ticks=0)
    (tmp_path / "proc/self").symlink_to("50")
    write_process(tmp_path, "60", nice=19, ticks=5)  # make
    write_process(tmp_path, "61", nice=19, ticks=20, parent=60)  # it ends
    watch = Watch(TWO, root=tmp_path)
    write_stat(tmp_path, (0, 100, 0), (0, 0, 100))
    write_process(tmp_path, "60", nice=19, ticks=5, ended=60)
    (tmp_path / "proc/61/stat").unlink()
    (tmp_path / "proc/61").rmdir()
    write_process(tmp_path, "62", nice=19, ticks=60, parent=60)
    assert watch.free() == pytest.approx(2.0)


def test_a_list_without_all_cores_says_nothing(tmp_path: Path) -> None:
    four = Cores(frozenset(range(4)), physical=4, quota=None)
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    watch = Watch(four, root=tmp_path)
    write_stat(tmp_path, (9, 0, 0), (9, 0, 0))
    assert watch.free() is None


def test_what_the_hypervisor_takes_is_no_neighbour(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc/stat"
    stat.write_text("cpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n")
    watch = Watch(TWO, root=tmp_path)
    stat.write_text("cpu0 0 0 0 12 0 0 0 8 0 0\ncpu1 0 0 0 20 0 0 0 0 0 0\n")
    assert watch.free() == pytest.approx(2.0)


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

    times = iter((0.0, 0.2))
    watch = Watch(limited, root=tmp_path, clock=lambda: next(times))
    run(0.2)
    assert watch.free() == pytest.approx(1.5)  # of the 2 that 1.5 are rounded to


def test_what_this_process_takes_of_a_quota_is_its_own(tmp_path: Path) -> None:
    limited = Cores(frozenset({0, 1}), physical=2, quota=2.0)
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    write_stat(tmp_path, (0, 0, 0), (0, 0, 0))
    write_process(tmp_path, "50", ticks=0)
    (tmp_path / "proc/self").symlink_to("50")
    (tmp_path / "proc/50/cgroup").write_text("0::/\n")
    (group / "cpu.max").write_text("200000 100000\n")
    (group / "cpu.stat").write_text("usage_usec 0\n")
    times = iter((0.0, 1.0))
    watch = Watch(limited, root=tmp_path, clock=lambda: next(times))
    write_stat(tmp_path, (TICKS, 0, 0), (TICKS, 0, 0))
    write_process(tmp_path, "50", ticks=2 * TICKS)
    (group / "cpu.stat").write_text("usage_usec 2000000\n")
    assert watch.free() == pytest.approx(2.0)


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert free_cores(TWO, root=tmp_path, sleep=lambda _: None) is None
