"""The variables that libgomp reads when torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.machine.cores import Cores
from detection.machine.threads import plan_threads

ROOT = Path(__file__).resolve().parents[2]
TWO = Cores(frozenset({0, 1}), physical=2, quota=None)


def never() -> float:
    raise AssertionError("nobody needs to know")


@pytest.mark.parametrize(
    ("free", "policy", "words"),
    [
        (2.0, None, "spin"),
        (1.8, None, "spin"),
        (1.6, "passive", "others take 0.4 of a core"),
        (0.0, "passive", "others take 2.0"),
        (None, None, "2 threads compute on 2 cores"),
    ],
)
def test_threads_sleep_beside_neighbours(
    free: float | None, policy: str | None, words: str
) -> None:
    plan = plan_threads({}, TWO, free=lambda: free)
    assert plan.variables.get("OMP_WAIT_POLICY") == policy
    assert plan.variables["OMP_NUM_THREADS"] == "2"
    assert words in str(plan)


@pytest.mark.parametrize(
    "given", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "5"}, {"OMP_NUM_THREADS": "1"}]
)
def test_what_the_user_has_set_wins_and_nothing_is_asked(given: dict[str, str]) -> None:
    plan = plan_threads(given, TWO, free=never)
    assert not plan.variables.keys() & {"OMP_WAIT_POLICY", *given}


def test_the_number_of_threads() -> None:
    assert plan_threads({"OMP_NUM_THREADS": "3,1"}, TWO, free=lambda: 2.0).threads == 3
    assert plan_threads({"OMP_NUM_THREADS": "many"}, TWO, free=lambda: 2.0).threads == 2
    one = Cores(frozenset({0}), physical=1, quota=None)
    assert str(plan_threads({}, one, free=never)) == "1 thread computes on 1 core"


def test_the_processes_of_one_training_do_not_disturb_each_other() -> None:
    four = Cores(frozenset(range(4)), physical=4, quota=None)
    plan = plan_threads({"LOCAL_WORLD_SIZE": "2"}, four, free=lambda: 3.0)
    assert plan.variables == {"OMP_NUM_THREADS": "2"}
    plan = plan_threads({"LOCAL_WORLD_SIZE": "2"}, four, free=lambda: 0.5)
    assert plan.variables["OMP_WAIT_POLICY"] == "passive"


PROGRAM = """
import os, sys
from detection.cli.door import choose_threads
assert "torch" not in sys.modules
os.environ["OMP_WAIT_POLICY"] = "passive"
choose_threads()
import torch
print(torch.get_num_threads())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="libgomp")
def test_libgomp_reads_what_the_door_has_set() -> None:
    # libgomp prints its settings when it is loaded: they are those that the process has set itself.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))},
            "OMP_DISPLAY_ENV": "true",
            "LOCAL_WORLD_SIZE": "1000",  # one thread for each
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.stdout.strip() == "1"
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
    assert "OMP_NUM_THREADS = '1'" in done.stderr
