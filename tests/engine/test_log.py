"""A training's log without TensorBoard."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from detection.engine.log import TrainingLog, read_log


def test_without_tensorboard_the_rest_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if not installed
    with caplog.at_level(logging.INFO):
        log = TrainingLog(tmp_path, start=0)
        log.write(1, "train", {"total": 2.0})
        log.write(2, "train", {"total": 1.0})
        log.close()
    assert [line["total"] for line in read_log(log.path)] == [2.0, 1.0]
    assert caplog.text.count('pip install "detection[logs]"') == 1
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "loss.png"}
