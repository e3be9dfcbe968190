"""Faults of the machine end a command with one line, and an exit code of their own."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from detection.cli import check_dataset
from detection.cli.commands import COMMANDS
from detection.cli.launch import launch


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/last.pt"), 74, "out/last.pt: No sp"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 71, "CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), 71, "batch_size"),
        (MemoryError(), 71, "out of memory: take smaller batches"),
    ],
)
def test_it_is_one_line(
    error: Exception,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(config: object) -> None:
        raise error

    monkeypatch.setattr(check_dataset, "main", fail)
    command = next(
        each for each in COMMANDS.values() if each.module == "detection.cli.check_dataset"
    )
    with pytest.raises(SystemExit) as ended:
        launch(command, ["detection check", f"data.root={tmp_path}"])
    assert ended.value.code == code
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert said in lines[0]
