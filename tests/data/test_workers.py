"""Workers: the room in shared memory, and what their errors say."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from detection.data import workers
from detection.data.workers import Loader, in_one_line, shared, that_fit

Usage = namedtuple("Usage", "total used free")
MEGABYTE = 10**6


@pytest.mark.parametrize(
    ("free", "fitting"),
    [
        # 0.8 x 113 MB are 9 batches of 10 MB: 2 x 4 and the one in use.
        (113, (2, 4)),
        # 0.8 x 64 MB are 5 batches, one of them in use: 2 workers with 2 each.
        (64, (2, 2)),
        (40, (2, 1)),
        (26, (1, 1)),
        (24, (0, 0)),
        (0, (0, 0)),
    ],
)
def test_fewer_are_read_ahead_where_shared_memory_is_small(
    free: int,
    fitting: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free * MEGABYTE))
    with caplog.at_level(logging.WARNING):
        assert that_fit(2, batch_bytes=10 * MEGABYTE) == fitting
    if fitting == (2, 4):
        assert not caplog.messages
    else:
        (message,) = caplog.messages
        assert f"{free} MB free" in message
        assert "want 90 MB" in message
        assert "--shm-size" in message
        assert "runtime.workers=0" in message


def test_processes_of_one_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 113 * MEGABYTE))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert that_fit(2, batch_bytes=10 * MEGABYTE) == (2, 1)


def test_without_workers_or_shared_memory_nothing_is_counted(tmp_path: Path) -> None:
    assert that_fit(0, batch_bytes=10**15) == (0, 0)
    assert that_fit(3, batch_bytes=10**15, folder=tmp_path / "none") == (3, 4)


class Images(Dataset[torch.Tensor]):
    """One image, in whose reading something happens."""

    def __init__(self, happens: str) -> None:
        self.happens = happens

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.happens == "error":
            raise ValueError("a.jpg: not a readable image\n(2 bytes)")
        if self.happens == "killed":
            os.kill(os.getpid(), signal.SIGBUS)
        if self.happens == "full":
            raise RuntimeError("unable to allocate shared memory(shm) for file </t>: No space left")
        if self.happens == "slow":
            time.sleep(1.5)
        return shared(torch.ones(3))


@pytest.mark.parametrize(
    ("happens", "message"),
    [
        ("error", r"^a.jpg: not a readable image\n\(2 bytes\)$"),
        ("killed", r"^a process that reads images was lost \(.*Bus error.*--shm-size"),
        ("full", "^/dev/shm is full: .*--shm-size=2g.*runtime.workers=0"),
        ("slow", "^no mini-batch has come from the workers for"),
    ],
)
@pytest.mark.slow
def test_what_happens_in_a_worker_is_one_error(
    happens: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "TIMEOUT_SECONDS", 1)
    loader = DataLoader(Images(happens), num_workers=1, timeout=workers.timeout(1))
    with pytest.raises(ValueError, match=message):
        list(Loader(loader))


@pytest.mark.slow
def test_a_workers_batches_arrive_and_are_in_shared_memory() -> None:
    found = list(Loader(DataLoader(Images(""), num_workers=1, batch_size=None)))
    assert [batch.tolist() for batch in found] == [[1, 1, 1]] * 2
    assert all(batch.is_shared() for batch in found)
    assert not shared(torch.ones(1)).is_shared()  # this process is no worker


def test_other_errors_stay_what_they_are() -> None:
    assert in_one_line(ValueError("x must be positive")) is None
