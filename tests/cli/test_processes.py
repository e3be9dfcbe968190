"""The runtime of a command: a resumed run keeps what it began with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detection.cli.compose import compose_config
from detection.cli.processes import runtime_and_processes
from detection.engine import runtime as engine
from detection.engine.choices import Choices


@pytest.fixture(autouse=True)
def _fp32_is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Choices("fp32", (128, 256), {}, "measured")
    monkeypatch.setattr(engine, "choices_of_process", lambda device, threads: measured)


def begun(folder: Path, runtime: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"runtime: {runtime}\n")
    return folder


def chosen(folder: Path, *overrides: str) -> tuple[str, object, object]:
    """(precision, Winograd, what the run's config.yaml will say of both)."""
    given = [f"output_dir={folder}", "data.root=x", "runtime.device=cpu", *overrides]
    config = compose_config("train", given)
    with runtime_and_processes(config) as (found, processes):
        assert processes.is_first
        assert found.device == torch.device("cpu")
        kept = [config.runtime.precision, config.runtime.winograd]
        return found.precision, found.winograd, kept


def test_a_new_run_says_what_was_chosen(tmp_path: Path) -> None:
    begun(tmp_path, "{precision: bf16, winograd: false}")  # of an earlier run
    assert chosen(tmp_path) == ("fp32", (128, 256), ["fp32", [128, 256]])


@pytest.mark.parametrize("where", ["", "step_1"])
def test_a_resumed_run_keeps_what_it_began_with(where: str, tmp_path: Path) -> None:
    begun(tmp_path / where, "{precision: bf16, winograd: [512]}")
    assert chosen(tmp_path, "resume=true") == ("bf16", (512,), ["bf16", [512]])


def test_an_explicit_choice_wins_and_a_difference_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(tmp_path, "{precision: bf16, winograd: false}")
    assert chosen(tmp_path, "resume=true", "runtime.precision=fp32")[0] == "fp32"
    assert "began with runtime.precision=bf16 and goes on with fp32" in caplog.text


def test_a_run_that_does_not_say_is_measured(tmp_path: Path) -> None:
    begun(tmp_path, "{precision: auto, winograd: auto}")
    assert chosen(tmp_path, "resume=true")[:2] == ("fp32", (128, 256))
    (tmp_path / "config.yaml").unlink()
    assert chosen(tmp_path, "resume=true")[:2] == ("fp32", (128, 256))
