"""Several processes: what they tell each other, and how they end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.engine.distributed import Processes, resolve_device

RunInTwo = Callable[..., subprocess.CompletedProcess[str]]


def write_script(folder: Path, body: str) -> Path:
    """A script that runs ``body``, which knows ``processes``."""
    script = folder / "script.py"
    lines = [
        "from detection.engine.distributed import join_processes",
        'with join_processes("cpu") as processes:',
    ]
    script.write_text("\n".join([*lines, *(f"    {line}" for line in body.splitlines())]))
    return script


def test_they_tell_each_other(tmp_path: Path, in_two_processes: RunInTwo) -> None:
    script = write_script(
        tmp_path,
        "rank = processes.rank\n"
        "said = [processes.gather(rank), processes.from_first(rank)]\n"
        "said.append(processes.mean({'a': rank * 3}))\n"
        "processes.wait()\n"
        f"open({str(tmp_path)!r} + f'/{{processes.rank}}', 'w').write(str(said))",
    )
    done = in_two_processes(script)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in "01":
        assert (tmp_path / rank).read_text() == "[[0, 1], 0, {'a': 1.5}]"


def test_an_error_in_one_ends_all(tmp_path: Path, in_two_processes: RunInTwo) -> None:
    body = "if processes.rank == 1:\n    raise ValueError('its image is broken')\nown.wait()"
    done = in_two_processes(write_script(tmp_path, body))
    assert done.returncode != 0
    assert "its image is broken" in done.stderr


def test_one_alone_hears_itself() -> None:
    processes = Processes(0, 1, 0)
    processes.wait()
    assert processes.mean({"a": 2.0}) == {"a": 2.0}
    assert processes.from_first("x") == "x"


def test_several_processes_share_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"runtime\.device=cuda, and CUDA_VISIBLE_DEVICES"):
        resolve_device("cuda:1")
