"""Devices and precision."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from detection.engine import runtime
from detection.engine.choices import Choices
from detection.engine.distributed import Processes, resolve_device
from detection.engine.runtime import set_up_runtime
from detection.machine.cores import Cores
from detection.machine.threads import CHOSEN, ThreadFollower, chosen_here


def test_auto_is_cuda_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "mps:x", ""])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"device='{name}'"):
        resolve_device(name)
    # Where the key is another one, that is said, and in the remedy, too.
    with pytest.raises(ValueError, match=f"^device='{name}'") as error:
        resolve_device(name, key="device")
    assert "runtime" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("precision", "fp8"),
        ("workers", -1),
        ("workers", "x"),
        ("winograd", "on"),
        ("regions_at_once", 0),
        ("regions_at_once", True),
    ],
)
def test_wrong_values_are_named(key: str, value: object) -> None:
    settings = {
        "device": "cpu",
        "precision": "fp32",
        "deterministic": False,
        "workers": 0,
        "winograd": False,
        "regions_at_once": 64,
    }
    with pytest.raises(ValueError, match=rf"runtime\.{key}"):
        set_up_runtime(**(settings | {key: value}))  # type: ignore[arg-type]


DIRECT = {"winograd": False, "regions_at_once": 64}


def test_exact_runtime_asks_for_deterministic_algorithms() -> None:
    settings = {"device": "cpu", "precision": "fp32", "workers": 0} | DIRECT
    try:
        set_up_runtime(**settings, deterministic=True)  # type: ignore[arg-type]
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        set_up_runtime(**settings, deterministic=False)  # type: ignore[arg-type]


SETTINGS = {
    "device": "cpu",
    "precision": "auto",
    "deterministic": False,
    "workers": "auto",
    "winograd": "auto",
    "regions_at_once": "auto",
}


def test_auto_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Choices("bf16", (512,), 32, {}, "measured")
    monkeypatch.setattr(runtime, "choices_of_process", lambda device, threads: measured)
    monkeypatch.setattr(runtime, "find_cores", lambda: Cores(frozenset(range(16)), 16, None))
    found = set_up_runtime(**SETTINGS)  # type: ignore[arg-type]
    assert (found.precision, found.winograd, found.workers) == ("bf16", (512,), 2)
    assert found.regions_at_once == 32
    given = {"precision": "fp32", "winograd": [128], "workers": 5}
    found = set_up_runtime(**(SETTINGS | given))  # type: ignore[arg-type]
    assert (found.precision, found.winograd, found.workers) == ("fp32", (128,), 5)
    found = set_up_runtime(**(SETTINGS | {"regions_at_once": 7}))  # type: ignore[arg-type]
    assert (found.precision, found.regions_at_once) == ("bf16", 7)


def test_the_first_process_chooses_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Second(Processes):
        def from_first(self, value: object) -> object:
            assert value is None
            return Choices("bf16", (256,), 128, {}, "measured")

    monkeypatch.delattr(runtime, "choices_of_process")  # calling it would raise
    processes = Second(rank=1, world_size=2, local_rank=1)
    found = set_up_runtime(**SETTINGS, processes=processes)  # type: ignore[arg-type]
    assert (found.precision, found.winograd) == ("bf16", (256,))
    assert found.regions_at_once == 128


@pytest.mark.parametrize(
    "given",
    [{"deterministic": True}, {"precision": "fp32"} | DIRECT],
    ids=lambda given: ",".join(given),
)
def test_exact_runs_measure_nothing(
    given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(runtime, "choices_of_process")
    try:
        found = set_up_runtime(**(SETTINGS | given))  # type: ignore[arg-type]
        assert found.precision == "fp32"
        assert not found.winograd
        assert found.regions_at_once == 64
    finally:
        torch.use_deterministic_algorithms(False)


def followed(monkeypatch: pytest.MonkeyPatch, **environment: str) -> ThreadFollower | None:
    """What follows neighbours where the process has these variables, on two cores."""
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", CHOSEN):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime, "find_cores", lambda: Cores(frozenset({0, 1}), 2, None))
    given = {"precision": "fp32"} | DIRECT
    follows = set_up_runtime(**(SETTINGS | given)).follow_neighbours  # type: ignore[arg-type]
    return follows if isinstance(follows, ThreadFollower) else None


def test_what_the_door_has_chosen_follows_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    number = {"OMP_NUM_THREADS": "1"}
    chosen = number | chosen_here(number, process=os.getpid())
    found = followed(monkeypatch, **chosen)
    assert found is not None
    assert (found.now, found.most, found.least) == (torch.get_num_threads(), 2, 1)
    assert followed(monkeypatch, **number) is None  # said by a user, or by a program
    assert followed(monkeypatch, **chosen, OMP_WAIT_POLICY="active") is None
    assert followed(monkeypatch, **number, **chosen_here(number, process=1)) is None  # by another
    two = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    assert followed(monkeypatch, **two, **chosen_here(two, process=os.getpid())) is not None
    two_processes = Processes(rank=0, world_size=2, local_rank=0)
    given = {"precision": "fp32", "processes": two_processes} | DIRECT
    alone = set_up_runtime(**(SETTINGS | given))  # type: ignore[arg-type]
    assert alone.follow_neighbours is runtime.nothing_follows


def test_equal_bits_need_an_equal_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    number = {"OMP_NUM_THREADS": "1"}
    for name, value in (number | chosen_here(number, process=os.getpid())).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime, "find_cores", lambda: Cores(frozenset({0, 1}), 2, None))
    try:
        found = set_up_runtime(**(SETTINGS | {"deterministic": True}))  # type: ignore[arg-type]
        assert found.follow_neighbours is runtime.nothing_follows
    finally:
        torch.use_deterministic_algorithms(False)


FAULTS = """
import resource, torch
from detection.engine.runtime import set_up_runtime

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

set_up_runtime(
    device="cpu", precision="fp32", deterministic=False, workers=0, winograd=False,
    regions_at_once=64)
before = faults()
for _ in range(40):
    torch.ones(2**24)
print((faults() - before) * resource.getpagesize() / 2**26)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="says so to glibc alone")
def test_freed_memory_is_used_again() -> None:
    # In a process of its own: the setting cannot be taken back.
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    # How many of 40 times 64 MiB came from the system: all of them by default.  Some must, because
    # glibc's aligned allocation does not always find the place that it freed last.
    assert float(done.stdout) < 20
