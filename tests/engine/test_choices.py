"""What is fastest here: the decision by given times, and the file that keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from detection.engine import choices as module
from detection.engine.choices import cache_file, choices, decide, key_of, measure
from detection.engine.trials import CHUNKS, SHAPES, fastest

CPU = torch.device("cpu")
# A processor whose bf16 is slower than its fp32; of the ways to convolve 256 channels, none is
# clearly faster.
TIMES = {
    "direct 128": 0.01,
    "winograd 128": 0.02,
    "direct 256": 0.02,
    "winograd 256": 0.021,
    "direct 512": 0.03,
    "winograd 512": 0.02,
    "chunk 32": 0.31,
    "chunk 64": 0.204,
    "chunk 128": 0.2,
    "fp32": 2.21,
    "bf16": 3.59,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def never(device: torch.device) -> dict[str, float]:
    raise AssertionError("measured again")


def test_what_is_faster_is_chosen() -> None:
    found = decide(TIMES)
    assert (found.precision, found.winograd) == ("fp32", (256, 512))
    assert found.why == "measured: fp32 2210 ms, bf16 3590 ms"
    assert decide({**TIMES, "bf16": 2.2}).precision == "bf16"


def test_other_chunks_must_be_clearly_faster() -> None:
    assert decide(TIMES).regions_at_once == 64
    assert decide({**TIMES, "chunk 64": 0.23}).regions_at_once == 128
    assert decide({**TIMES, "chunk 32": 0.19}).regions_at_once == 64
    assert decide({**TIMES, "chunk 32": 0.18}).regions_at_once == 32
    assert decide({}).regions_at_once == 64


def test_without_instructions_bf16_is_not_chosen() -> None:
    found = decide({"direct 128": 2.0, "winograd 128": 1.0})
    assert (found.precision, found.winograd, found.why) == ("fp32", (128,), "no bf16 instructions")
    assert decide({}).winograd == ()


def test_it_is_measured_once_and_kept() -> None:
    first = choices(CPU, timed=lambda _: TIMES)
    assert choices(CPU, timed=never) == first == decide(TIMES)
    assert list(json.loads(cache_file().read_text())) == [key_of(CPU)]
    assert choices(CPU, timed=lambda _: {}, again=True).winograd == ()
    assert choices(CPU, timed=never).winograd == ()


def test_it_is_measured_anew_for_other_threads_or_another_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choices(CPU, timed=lambda _: TIMES)
    for key, value in (("get_num_threads", lambda: 77), ("__version__", "9.9")):
        with monkeypatch.context() as patch:
            patch.setattr(torch, key, value)
            assert choices(CPU, timed=lambda _: {}).winograd == ()
    assert choices(CPU, timed=never).winograd == (256, 512)
    assert len(json.loads(cache_file().read_text())) == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"KEY": 5}',
        '{"KEY": {"precision": "fp32", "winograd": [], "seconds": {}, "why": "WHY"}}',  # older
        '{"KEY": {"precision": "bf16", ALIKE, "seconds": {}, "why": "WHY"}}',
        '{"KEY": {"precision": "fp32", "winograd": [128], "regions_at_once": 64, "seconds": {}, '
        '"why": "WHY"}}',
        '{"KEY": {"precision": "fp32", "winograd": [], "regions_at_once": 32, "seconds": {}, '
        '"why": "WHY"}}',
        '{"KEY": {"precision": "fp32", ALIKE, "seconds": {"bf16": "x"}, "why": "WHY"}}',
        '{"KEY": {"precision": "fp32", ALIKE, "seconds": {"bf16": 1}, "why": "WHY"}}',
    ],
)
def test_a_broken_cache_is_written_anew(content: str) -> None:
    cache_file().parent.mkdir(parents=True)
    content = content.replace("ALIKE", '"winograd": [], "regions_at_once": 64')
    content = content.replace("WHY", "no bf16 instructions")
    cache_file().write_text(content.replace('"KEY"', json.dumps(key_of(CPU))))
    assert choices(CPU, timed=lambda _: TIMES) == decide(TIMES)
    assert choices(CPU, timed=never) == decide(TIMES)


def test_an_entry_that_says_what_its_times_say_is_taken() -> None:
    cache_file().parent.mkdir(parents=True)
    entry = {"precision": "fp32", "winograd": [], "regions_at_once": 64, "seconds": {}}
    content = {key_of(CPU): entry | {"why": "no bf16 instructions"}}
    cache_file().write_text(json.dumps(content))
    assert choices(CPU, timed=never) == decide({})


def test_where_nothing_can_be_kept_it_is_measured_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder: also for root
    caplog.set_level("INFO")
    for number in range(2):
        times = {**TIMES, "fp32": float(number)}
        assert choices(CPU, timed=lambda _, t=times: t).seconds["fp32"] == number
    assert "cannot be written" in caplog.text


def test_the_fastest_run_counts_and_a_hopeless_one_is_not_repeated() -> None:
    now = 0.0
    calls: list[str] = []
    durations = {"a": iter([5.0, 3.0, 2.0, 4.0]), "b": iter([30.0, 30.0, 30.0, 30.0])}

    def run(name: str) -> None:
        nonlocal now
        calls.append(name)
        now += next(durations[name])

    runs = {name: lambda name=name: run(name) for name in durations}
    assert fastest(runs, rounds=3, enough=99, clock=lambda: now) == {"a": 2.0, "b": 30.0}
    assert calls == ["a", "b", "a", "a", "a"]
    durations = {"a": iter([5.0] * 9), "b": iter([6.0] * 9)}
    calls.clear()
    assert fastest(runs, rounds=9, enough=1, clock=lambda: now) == {"a": 5.0, "b": 6.0}
    assert calls == ["a", "b"] * 3


@pytest.mark.slow
def test_a_measurement_has_what_the_decision_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "computes_in_bf16", lambda _: False)
    before = torch.get_rng_state()
    seconds = measure(CPU)
    ways = {f"{way} {n}" for n in SHAPES for way in ("direct", "winograd")}
    assert ways | {f"chunk {size}" for size in CHUNKS} == seconds.keys()
    assert all(value > 0 for value in seconds.values())
    assert torch.equal(torch.get_rng_state(), before)
