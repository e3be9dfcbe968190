"""`detection env`: one line for each fact."""

from __future__ import annotations

import pytest

from detection.cli import env
from detection.cli.compose import compose_config
from detection.engine.choices import decide

TIMES = {
    "direct 128": 0.01,
    "winograd 128": 0.02,
    "direct 256": 0.02,
    "winograd 256": 0.01,
    "direct 512": 0.03,
    "winograd 512": 0.02,
    "chunk 32": 0.31,
    "chunk 64": 0.204,
    "chunk 128": 0.2,
    "fp32": 2.21,
    "bf16": 3.59,
}


def test_it_prints_the_machine_and_what_was_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "choices", lambda device, again: decide(TIMES))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    env.main(compose_config("env", ["device=cpu"]))
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    facts = {name: value.strip() for name, value in shown.items()}
    assert facts["precision=auto"] == "fp32 (measured: fp32 2210 ms, bf16 3590 ms)"
    assert facts["winograd=auto"].startswith("128 channels 10.0 -> 20.0 ms (no), 256 channels")
    assert facts["regions_at_once=auto"] == (
        "64 (128 regions, at once 32 in 310 ms, 64 in 204 ms, 128 in 200 ms)"
    )
    assert "OMP_WAIT_POLICY=passive" in facts["threads now"]
    assert "torchvision" in facts["packages"]
    assert {"processor", "cores", "CPU operators", "kept in", "memory"} <= facts.keys()
