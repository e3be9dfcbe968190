"""A short run of the kills, and that they can find something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kill.run import differences

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_training_that_is_killed_twice_ends_as_one_in_peace() -> None:
    """In a process of its own: what is forked must have no threads."""
    done = subprocess.run(
        [sys.executable, "tests/kill/run.py", "--kills=2", "--only=train_classifier", "--seed=1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert "train_classifier: 2 kills in " in done.stdout, done.stdout + done.stderr
    assert ", 0 wrong," in done.stdout, done.stdout
    assert done.returncode == 0


LOG = '{"iteration": 1, "kind": "train", "loss": 0.5, "seconds": %d}\n'


def write_run(
    folder: Path, *, weight: float = 1.0, moment: float = 2.0, log: str = LOG % 1
) -> Path:
    folder.mkdir()
    state = {"step": 1, "moment": torch.tensor([moment])}
    content = {"weights": {"w": torch.tensor([weight])}, "training": {"optimizer": state}}
    torch.save(content, folder / "last.pt")
    (folder / "log.jsonl").write_text(log)
    (folder / "metrics.json").write_text("{}")
    return folder


def test_what_a_kill_may_do_is_seen(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole")
    assert differences(whole, write_run(tmp_path / "same", log=LOG % 9)) == []  # other seconds
    assert differences(whole, write_run(tmp_path / "a", weight=1 + 1e-6)) == [
        "last.pt: other weights"
    ]
    assert differences(whole, write_run(tmp_path / "b", moment=0)) == [
        "last.pt: the optimizer remembers something else"
    ]
    (twice,) = differences(whole, write_run(tmp_path / "c", log=LOG % 1 + LOG % 2))
    assert twice.startswith("log.jsonl: other rows")
    (lost,) = differences(whole, write_run(tmp_path / "d", log=""))
    assert lost == "log.jsonl: other rows []"
    (other,) = differences(whole, write_run(tmp_path / "e", log=LOG.replace("0.5", "0.6") % 1))
    assert other == "log.jsonl: other values"
    folder = write_run(tmp_path / "f")
    (folder / "metrics.json").unlink()
    (folder / "x.partial").write_text("")
    assert differences(whole, folder) == ["metrics.json is not there", "x.partial is left"]
