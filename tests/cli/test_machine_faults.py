"""Faults of the machine, made at the calls that meet them: what a training has written is whole.

The kernel itself lets no file grow (RLIMIT_FSIZE): at 1 the first checkpoint, 2 a later one, 3 a
row of the log.  A system call fails: 4 fsync of a checkpoint (a quota), 5 the rename of
metrics.json, 6 a folder becomes read-only.  7 pictures are deleted, 8 or replaced by rubbish.
9 There is no memory for a tensor.  10 last.pt is removed while it runs.  11 Another training begins
in its folder.  12 SIGTERM comes during a save.

Of detections: test_nothing_lost.py.  A worker that is killed: tests/data/test_workers.py.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detection import damage
from detection.checkpoint import Checkpoint
from detection.cli.commands import COMMANDS
from detection.cli.launch import launch
from detection.engine.checkpoints import Checkpoints
from detection.engine.log import TrainingLog, read_log

pytestmark = pytest.mark.slow

Ended = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr("detection.visualization.curves.plot_training", lambda lines, picture: None)


@pytest.fixture
def data(example_files: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(example_files / "data", tmp_path / "data"))


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str]) -> Ended:
    """(command, *arguments) -> exit code and the line of the error, which is one."""

    def run(name: str, *arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            launch(COMMANDS[name], [f"detection {name}", *arguments])
        said = capsys.readouterr().err
        if isinstance(end.value.code, str):  # Python prints it
            return 1, end.value.code
        lines = [line for line in said.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, said
        return int(end.value.code or 0), lines[0]

    return run


def train(data: Path, output: Path, *more: str) -> list[str]:
    return [
        *SMALL, f"data.root={data}", f"output_dir={output}", "schedule.rules.iterations=3",
        "schedule.rules.checkpoint_every=2", "schedule.rules.log_every=1", *more,
    ]  # fmt: skip


SMALL = [
    *("model/backbone=resnet_basic", "model.backbone.norm=trained"),
    *("model.backbone.frozen_stages=[]", "data.shorter_sides=[64]", "schedule.batch_size=2"),
    *("model.roi_head.pooled_size=4", "model.rpn.training_proposals.after_nms=16"),
    *("model.rpn.test_proposals.after_nms=4", "model.roi_head.sampling.per_image=4"),
    *("runtime.workers=0", "runtime.device=cpu", "runtime=exact", "schedule=paper2015"),
    *("schedule.learning_rate.reference=0.00001", "model.rpn.sampling.cross_boundary=true"),
]


class Limited:
    """No file may grow beyond ``size`` bytes from the ``first`` call of a method on, in the call.

    The kernel then writes less than it should, and fails.
    """

    def __init__(self, patch: pytest.MonkeyPatch, of: Any, method: str, first: int, size: int):
        original, self.calls = getattr(of, method), 0

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls < first:
                return original(*arguments, **named)
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                return original(*arguments, **named)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        patch.setattr(of, method, call)


def whole_log(folder: Path) -> list[tuple[int, str]]:
    """Each line of the log can be read: none is a half."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(read_log(folder / "log.jsonl"))
    return [(line["iteration"], line["kind"]) for line in map(json.loads, lines)]


def before(patch: pytest.MonkeyPatch, of: Any, method: str, number: int, happens: Any) -> None:
    """``happens()`` in the call with this number, before what it does."""
    original, calls = getattr(of, method), []

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            happens()
        return original(*arguments, **named)

    patch.setattr(of, method, call)


def is_whole(output: Path, *, iteration: int | None) -> None:
    """The checkpoint loads and is of that iteration (None: there is none), and the log is whole."""
    assert not list(output.rglob("*.partial"))
    assert whole_log(output)[:2] == [(1, "train"), (2, "train")]
    if iteration is None:
        assert not (output / "last.pt").exists()
    else:
        assert Checkpoint.load(output / "last.pt").training["iteration"] == iteration


AGAIN = ": make room, and run it again with resume=true; what was written before is whole"


@pytest.mark.parametrize(
    ("of", "method", "first", "size", "file", "iteration"),
    [
        (Checkpoints, "save", 1, 100_000, "last.pt", None),
        (Checkpoints, "save", 2, 100_000, "last.pt", 2),
        (TrainingLog, "write", 3, 400, "log.jsonl", 2),
    ],
)
def test_a_file_cannot_grow(
    of: Any, method: str, first: int, size: int, file: str, iteration: int | None,
    data: Path, tmp_path: Path, ended: Ended, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        Limited(patch, of, method, first, size)
        code, line = ended("train", *train(data, output))
    assert (code, line) == (74, f"error: {output / file}: File too large{AGAIN}")
    is_whole(output, iteration=iteration)
    if file != "log.jsonl":
        return
    # There is room again: it ends as if nothing had been.
    launch(COMMANDS["train"], ["detection train", *train(data, output, "resume=true")])
    is_whole(output, iteration=3)
    assert whole_log(output) == [*((i, "train") for i in (1, 2, 3)), (3, "validation")]
    assert (output / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("call", "file", "number", "code", "iteration"),
    [
        ("fsync", "last.pt", errno.EDQUOT, 74, 2),
        ("replace", "metrics.json", errno.ENOSPC, 74, 3),
        ("replace", "last.pt", errno.EROFS, 1, 2),
    ],
)
def test_a_system_call_fails(
    call: str, file: str, number: int, code: int, iteration: int,
    data: Path, tmp_path: Path, ended: Ended, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output, original = tmp_path / "out", getattr(os, call)

    def fail(first: Any, *more: Any) -> Any:
        name = os.readlink(f"/proc/self/fd/{first}") if call == "fsync" else str(first)
        if f".{file}." in name and (output / "last.pt").exists():
            raise OSError(number, os.strerror(number))
        return original(first, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        ends = ended("train", *train(data, output))
    again = AGAIN if code == 74 else ""
    assert ends == (code, f"error: {output / file}: {os.strerror(number)}{again}")
    is_whole(output, iteration=iteration)


@pytest.mark.parametrize("rubbish", [False, True])
def test_the_pictures_go_while_it_trains(
    rubbish: bool, data: Path, tmp_path: Path, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"

    def go() -> None:
        for picture in (data / "train").iterdir():
            picture.write_bytes(b"rubbish") if rubbish else picture.unlink()

    before(monkeypatch, TrainingLog, "write", 2, go)
    code, line = ended("train", *train(data, output))
    assert code == 1
    said = "not a readable image" if rubbish else "No such file or directory|no such"
    assert re.match(rf"error: {re.escape(str(data))}/train/\S+: ({said})", line), line
    is_whole(output, iteration=2)


def test_there_is_no_memory_for_a_tensor(
    data: Path, tmp_path: Path, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    before(monkeypatch, TrainingLog, "write", 3, lambda: torch.empty(1 << 50))
    code, line = ended("train", *train(data, output))
    assert code == 71
    assert "you tried to allocate" in line
    assert "schedule.batch_size" in line
    is_whole(output, iteration=2)


def test_the_checkpoint_is_removed_and_another_training_begins_while_it_trains(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"

    def happens() -> None:
        (output / "last.pt").unlink()
        with pytest.raises(SystemExit, match="is in use by process"):
            launch(COMMANDS["train"], ["detection train", *train(data, output, "overwrite=true")])

    before(monkeypatch, TrainingLog, "write", 3, happens)
    launch(COMMANDS["train"], ["detection train", *train(data, output)])
    is_whole(output, iteration=3)


def test_sigterm_during_a_save(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    before(monkeypatch, damage, "_checksum", 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        launch(
            COMMANDS["train"],
            ["detection train", *train(data, output, "schedule.rules.iterations=5")],
        )
    assert end.value.code == 75
    is_whole(output, iteration=3)  # the step that comes next is finished, and saved
