"""Several processes: what they tell each other, and how they end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.engine.distributed import Processes, resolve_device

RunInTwo = Callable[..., subprocess.CompletedProcess[str]]


# Started once, for what goes well and for what then ends it: each start imports torch three times.
SCRIPT = """\
import sys
from detection.engine.distributed import join_processes

with join_processes("cpu") as processes:
    rank = processes.rank
    said = [processes.gather(rank), processes.from_first(rank)]
    said.append(processes.mean({"a": rank * 3}))
    processes.wait()
    with open(f"{sys.argv[1]}/{rank}", "w") as file:
        file.write(str(said))
    processes.wait()
    if rank == 1:
        raise ValueError("its image is broken")
    processes.wait()
"""


@pytest.fixture(scope="module")
def ended(
    tmp_path_factory: pytest.TempPathFactory, in_two_processes: RunInTwo
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which two processes ran ``SCRIPT``, and how they ended."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "script.py").write_text(SCRIPT)
    return folder, in_two_processes(folder / "script.py", folder)


@pytest.mark.slow
def test_they_tell_each_other(ended: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = ended
    for rank in "01":
        assert (folder / rank).is_file(), done.stderr[-3000:]
        assert (folder / rank).read_text() == "[[0, 1], 0, {'a': 1.5}]"


@pytest.mark.slow
def test_an_error_in_one_ends_all(ended: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = ended
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
