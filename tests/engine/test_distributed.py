"""Several processes: what they tell each other, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.engine.distributed import Processes, resolve_device

ROOT = Path(__file__).resolve().parents[2]


def in_two_processes(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Runs ``body``, which knows ``own``, in two of torchrun's processes."""
    script = folder / "script.py"
    lines = ["from detection.engine.distributed import processes", 'with processes("cpu") as own:']
    script.write_text("\n".join([*lines, *(f"    {line}" for line in body.splitlines())]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    return subprocess.run(
        [*torchrun, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def test_they_tell_each_other(tmp_path: Path) -> None:
    done = in_two_processes(
        tmp_path,
        "said = [own.gather(own.rank), own.from_first(own.rank), own.mean({'a': own.rank * 3})]\n"
        "own.wait()\n"
        f"open({str(tmp_path)!r} + f'/{{own.rank}}', 'w').write(str(said))",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in "01":
        assert (tmp_path / rank).read_text() == "[[0, 1], 0, {'a': 1.5}]"


def test_an_error_in_one_ends_all(tmp_path: Path) -> None:
    body = "if own.rank == 1:\n    raise ValueError('its image is broken')\nown.wait()"
    done = in_two_processes(tmp_path, body)
    assert done.returncode != 0
    assert "its image is broken" in done.stderr


def test_one_alone_hears_itself() -> None:
    own = Processes(0, 1, 0)
    own.wait()
    assert own.mean({"a": 2.0}) == {"a": 2.0}
    assert own.from_first("x") == "x"


def test_several_processes_share_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"runtime\.device=cuda, and CUDA_VISIBLE_DEVICES"):
        resolve_device("cuda:1")
