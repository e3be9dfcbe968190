"""The runtime of a command: a resumed run keeps what it began with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detection.cli.compose import compose_config
from detection.cli.detector_run import detector_run
from detection.cli.objects import detector
from detection.cli.processes import KEPT, runtime_and_processes
from detection.engine import runtime as engine
from detection.engine.choices import Choices
from detection.engine.runtime import ALONE, Runtime


@pytest.fixture(autouse=True)
def _fp32_is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Choices("fp32", (128, 256), 32, {}, "measured")
    monkeypatch.setattr(engine, "choices_of_process", lambda device, threads: measured)


def begun(folder: Path, runtime: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"runtime: {runtime}\n")
    return folder


def chosen(folder: Path, *overrides: str) -> tuple[str, object, int, object]:
    """(precision, Winograd, regions at once, what the run's config.yaml will say of them)."""
    given = [f"output_dir={folder}", "data.root=x", "runtime.device=cpu", *overrides]
    config = compose_config("train", given)
    with runtime_and_processes(config) as (found, processes):
        assert processes.is_first
        assert found.device == torch.device("cpu")
        kept = [config.runtime[key] for key in KEPT]
        return found.precision, found.winograd, found.regions_at_once, kept


def test_a_new_run_says_what_was_chosen(tmp_path: Path) -> None:
    begun(tmp_path, "{precision: bf16, winograd: false}")  # of an earlier run
    assert chosen(tmp_path) == ("fp32", (128, 256), 32, ["fp32", [128, 256], 32])


@pytest.mark.parametrize("where", ["", "step_1"])
def test_a_resumed_run_keeps_what_it_began_with(where: str, tmp_path: Path) -> None:
    begun(tmp_path / where, "{precision: bf16, winograd: [512], regions_at_once: 16}")
    assert chosen(tmp_path, "resume=true") == ("bf16", (512,), 16, ["bf16", [512], 16])
    # A run of an earlier version says it of the model.
    file = begun(tmp_path / where, "{precision: bf16, winograd: [512]}") / "config.yaml"
    file.write_text(file.read_text() + "model: {regions_at_once: 16}\n")
    assert chosen(tmp_path, "resume=true")[2] == 16


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


def test_the_regions_at_once_reach_every_detector(example_files: Path, tmp_path: Path) -> None:
    runtime = Runtime(torch.device("cpu"), "fp32", workers=0, winograd=False, regions_at_once=7)
    detects = compose_config("detect", [f"checkpoint={example_files / 'best.pt'}", "images=x"])
    assert [model.regions_at_once for model in detector(detects, runtime).models] == [7]
    words = [f"data.root={example_files / 'data'}", f"output_dir={tmp_path}", "weights=random"]
    trains = compose_config("train", [*words, "model/backbone=resnet_basic", "schedule=short"])
    assert detector_run(trains, runtime, ALONE).model.regions_at_once == 7
