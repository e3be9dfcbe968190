"""Suite `neighbours`, with steps of given length in the place of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from detection.benchmarks.measurement import measure
from detection.benchmarks.suites import neighbours as suite
from detection.benchmarks.table import as_markdown

SETTINGS: dict[str, Any] = {
    "kinds": ["train"],
    "overrides": [],
    "height": 1,
    "width": 1,
    "classes": 1,
    "seed": 0,
    "objects_per_image": 1,
    "neighbours": [0, 2],
    "one_login": False,
    "peer": True,
}
CPU = torch.device("cpu")


class Process:
    """Sleeps twice as long beside busy processes; in bf16 half as long as else."""

    beside = 0

    def __init__(self, **settings: Any) -> None:
        seconds = {"bf16": 0.01, "fp32": 0.02, "auto": 0.02}[settings["precision"]]
        self.seconds = seconds * (2 if Process.beside else 1)
        self.facts = {"precision": settings["precision"]}

    def __call__(self) -> None:
        time.sleep(self.seconds)

    def close(self) -> None:
        pass


class Busy:
    def __init__(self, program: list[str], *, start_new_session: bool) -> None:
        assert start_new_session  # of another login, as far as the kernel's groups go
        Process.beside += 1

    def kill(self) -> None:
        Process.beside -= 1

    def wait(self) -> None:
        pass


def test_facts_compare_with_the_quiet_machine_and_with_the_better_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "StepProcess", Process)
    monkeypatch.setattr(subprocess, "Popen", Busy)
    monkeypatch.setattr(suite, "computes_in_bf16", lambda _: True)
    rows = []
    for group in suite.cases(device=CPU, **SETTINGS):
        rows += measure(group, device=CPU, repeats=3, warmup=0, ceilings={}, bandwidth=1e9)
    assert Process.beside == 0
    assert [row.name for row in rows[:4]] == [
        *("train, torchvision as C4, beside 0", "train, this, beside 0"),
        *("train, this, fp32, beside 0", "train, this, bf16, beside 0"),
    ]
    for row in rows:
        expected = 2 if row.facts["neighbours"] else 1
        assert row.facts["times_quiet"] == pytest.approx(expected, rel=0.5)
    assert rows[1].facts["of_better"] == pytest.approx(2, rel=0.5)
    assert "| of the better precision |" in as_markdown(rows)


def test_the_peer_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "StepProcess", Process)
    monkeypatch.setattr(suite, "computes_in_bf16", lambda _: False)
    group = next(suite.cases(device=CPU, **(SETTINGS | {"peer": False})))
    assert [case.name for case in group] == ["train, this, beside 0", "train, this, fp32, beside 0"]


@pytest.mark.parametrize(
    ("device", "changed", "message"),
    [("cpu", [1, 2], "must begin with 0"), ("cpu", [], "must begin"), ("meta", [0], "for CPUs")],
)
def test_what_cannot_be_compared_is_refused(device: str, changed: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(suite.cases(device=torch.device(device), **(SETTINGS | {"neighbours": changed})))


def test_busy_processes_end_with_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from detection.benchmarks.suites.neighbours import busy_processes
with busy_processes(1):
    children = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text()
    Path({str(tmp_path / "child")!r}).write_text(children)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    deadline = time.monotonic() + 20
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not child.exists()


@pytest.mark.parametrize(("one_login", "sessions"), [(True, 1), (False, 3)])
def test_busy_processes_of_one_login_share_a_session(one_login: bool, sessions: int) -> None:
    before = children(os.getpid())
    with suite.busy_processes(3, one_login=one_login):
        first = children(os.getpid()) - before
        busy = first.union(*map(children, first))
        assert len(busy) == 3
        assert len({os.getsid(process) for process in busy}) == sessions
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{process}").exists() for process in busy):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(process: int) -> set[int]:
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
