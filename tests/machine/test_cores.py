"""Cores: what limits them, read from small trees of /proc and /sys; the rule that shares them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.machine.cores import Cores, Share, find_cores, local_processes, quota_of, share_of


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        # Inside a container with a namespace of its own.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # A parent's limit holds for its children.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        # Inside a container whose path is the host's: its group is the root of the mount.
        (
            {
                "proc/self/cgroup": "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n",
                f"{V1}/cpu.cfs_quota_us": "50000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/\n",
                f"{V1}/cpu.cfs_quota_us": "-1\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "damaged"}, None),
    ],
)
def test_the_quota_of_control_groups(
    files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    assert quota_of(write(tmp_path, files)) == quota


def test_threads_of_one_core_are_one_physical_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5}, raising=False)
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5"}
    found = find_cores(write(tmp_path, {topology.format(n): text for n, text in siblings.items()}))
    assert found == Cores(frozenset({0, 1, 4, 5}), physical=2, quota=None)
    assert str(found) == "4 cores (2 physical)"
    # Where the kernel says nothing, each is one.
    assert find_cores(tmp_path / "nothing").physical == 4


def cores(number: int, *, physical: int | None = None, quota: float | None = None) -> Cores:
    return Cores(frozenset(range(number)), physical or number, quota)


@pytest.mark.parametrize(
    ("found", "usable"),
    [
        (cores(4), 4),
        (cores(64, quota=2.0), 2),
        (cores(64, quota=1.5), 2),
        (cores(64, quota=1.2), 1),
        (cores(64, quota=0.1), 1),
        (cores(2, quota=8.0), 2),
    ],
)
def test_a_quota_limits_what_is_usable(found: Cores, usable: int) -> None:
    assert found.usable == usable


@pytest.mark.parametrize(
    ("found", "processes", "on_gpu", "share"),
    [
        (cores(1), 1, False, Share(threads=1, workers=0)),
        (cores(2), 1, False, Share(threads=2, workers=1)),
        (cores(7), 1, False, Share(threads=7, workers=1)),
        (cores(8), 1, False, Share(threads=7, workers=1)),
        (cores(32), 1, False, Share(threads=28, workers=4)),
        (cores(32, physical=16), 1, False, Share(threads=16, workers=4)),
        (cores(256), 1, False, Share(threads=224, workers=8)),
        (cores(64, quota=2.0), 1, False, Share(threads=2, workers=1)),
        # Two processes of torchrun have half of the cores each.
        (cores(4), 2, False, Share(threads=2, workers=1)),
        (cores(2), 2, False, Share(threads=1, workers=0)),
        (cores(4), 1, True, Share(threads=4, workers=3)),
        (cores(64), 1, True, Share(threads=56, workers=8)),
    ],
)
def test_the_rule_that_shares_the_cores(
    found: Cores, processes: int, on_gpu: bool, share: Share
) -> None:
    assert share_of(found, processes=processes, on_gpu=on_gpu) == share


def test_the_processes_that_torchrun_started_here() -> None:
    assert local_processes({}) == 1
    assert local_processes({"LOCAL_WORLD_SIZE": "4"}) == 4
