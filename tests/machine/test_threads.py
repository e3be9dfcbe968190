"""The variables that libgomp reads when torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.machine.cores import Cores
from detection.machine.threads import (
    CHOSEN,
    SECONDS_BETWEEN_LOOKS,
    ThreadFollower,
    chosen_by,
    chosen_here,
    plan_threads,
)

ROOT = Path(__file__).resolve().parents[2]
TWO = Cores(frozenset({0, 1}), physical=2, quota=None)


FOUR = Cores(frozenset(range(4)), physical=4, quota=None)
HYPERTHREADS = Cores(frozenset(range(8)), physical=4, quota=None)
SIXTEEN = Cores(frozenset(range(16)), physical=16, quota=None)


def never() -> float:
    raise AssertionError("nobody needs to know")


@pytest.mark.parametrize(
    ("cores", "free", "threads", "policy", "words"),
    [
        (TWO, 2.0, 2, None, "spin"),
        (TWO, 1.8, 2, None, "spin"),
        (
            TWO,
            1.7,
            1,
            None,
            "1 thread computes on 2 cores; no more, since others take 0.3 of a core",
        ),
        (TWO, 0.0, 1, None, "others take 2.0"),
        (FOUR, 3.1, 3, None, "3 threads compute on 4 cores; no more, since others take 0.9"),
        (FOUR, 2.0, 2, None, "no more"),
        # Four busy ones on four physical cores that have two threads each.
        (HYPERTHREADS, 8.0, 4, None, "spin"),
        (HYPERTHREADS, 4.0, 2, None, "no more, since others take 4.0"),
        # 14 compute, and two processes read pictures.
        (SIXTEEN, 16.0, 14, None, "spin"),
        (SIXTEEN, 15.0, 13, None, "no more, since others take 1.0"),
        # Half of them at least, which then have to wait for each other.
        (FOUR, 0.5, 2, "passive", "they sleep while they wait, since others take 3.5"),
        (TWO, None, 2, None, "2 threads compute on 2 cores"),
    ],
)
def test_threads_have_cores_of_their_own_beside_neighbours(
    cores: Cores, free: float | None, threads: int, policy: str | None, words: str
) -> None:
    plan = plan_threads({}, cores, free=lambda: free)
    assert plan.threads == threads
    assert plan.variables.get("OMP_WAIT_POLICY") == policy
    assert plan.variables["OMP_NUM_THREADS"] == str(threads)
    assert words in str(plan)


def test_a_neighbour_that_ends_just_then_is_none() -> None:
    looks = iter([0.4, 2.0])
    plan = plan_threads({}, TWO, free=lambda: next(looks))
    assert plan.threads == 2
    assert "spin" in str(plan)


@pytest.mark.parametrize(
    ("given", "fixed"),
    [({"OMP_NUM_THREADS": "2"}, False), ({}, True), ({"WORLD_SIZE": "2"}, False)],
)
def test_a_number_that_is_said_or_fixed_stays_and_threads_sleep(
    given: dict[str, str], fixed: bool
) -> None:
    plan = plan_threads(given, TWO, free=lambda: 1.0, fixed=fixed)
    assert plan.threads == 2
    assert plan.variables["OMP_WAIT_POLICY"] == "passive"
    assert "they sleep while they wait, since others take 1.0" in str(plan)


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
    plan = plan_threads({"LOCAL_WORLD_SIZE": "2"}, FOUR, free=lambda: 3.0)
    assert plan.variables == {"OMP_NUM_THREADS": "2"}
    plan = plan_threads({"LOCAL_WORLD_SIZE": "2"}, FOUR, free=lambda: 0.5)
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


class Looks:
    """A follower of four threads whose every call comes when it looks again."""

    def __init__(self, *, least: int = 1) -> None:
        self.seconds, self.free, self.set = 0.0, 4.0, list[int]()
        self.follow = ThreadFollower(
            now=4,
            most=4,
            least=least,
            cores=FOUR,
            free=lambda: self.free,
            set_threads=self.set.append,
            clock=lambda: self.seconds,
        )

    def look(self, *free: float) -> None:
        for self.free in free:
            self.seconds += SECONDS_BETWEEN_LOOKS
            self.follow()


def test_threads_follow_neighbours_that_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    looks = Looks()
    looks.look(4.0, 3.85)
    assert looks.set == []
    looks.look(3.0, 2.9)
    assert looks.set == [3]
    looks.look(0.0)
    assert looks.set == [3, 1]
    looks.look(4.0, 4.0, 2.0, 4.0, 4.0)  # never three in a row that allow for more than two
    assert looks.set == [3, 1, 2]
    looks.look(4.0)
    assert looks.set == [3, 1, 2, 4]
    assert caplog.messages == [
        "3 threads compute from here on: others take 1.0 of a core",
        "1 thread computes from here on: others take 4.0 of a core",
        "2 threads compute from here on: others take 2.0 of a core",
        "4 threads compute from here on: others take 0.0 of a core",
    ]


def test_a_load_that_hardly_counts_moves_nothing() -> None:
    looks = Looks()
    looks.look(3.7)
    looks.look(*[3.85, 3.75, 3.85, 3.75] * 3)
    assert looks.set == [3]


def test_threads_that_sleep_while_they_wait_stay_half_at_least() -> None:
    looks = Looks(least=2)
    looks.look(0.0)
    assert looks.set == [2]


def test_a_look_costs_nothing_before_its_time() -> None:
    looks = Looks()
    looks.free = 0.0
    looks.seconds = SECONDS_BETWEEN_LOOKS - 1
    looks.follow()
    assert looks.set == []


def test_what_was_chosen_here_is_told_from_what_a_user_says() -> None:
    said = chosen_here(["OMP_NUM_THREADS", "OMP_WAIT_POLICY"], process=12)
    assert chosen_by(said) == (12, {"OMP_NUM_THREADS", "OMP_WAIT_POLICY"})
    assert chosen_by(chosen_here([], process=12)) == (12, set())
    for nothing in ({}, {CHOSEN: ""}, {CHOSEN: "x:OMP_NUM_THREADS"}):
        assert chosen_by(nothing) == (None, set())
