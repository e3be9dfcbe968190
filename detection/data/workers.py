"""Workers: processes that read images ahead, and the shared memory that they hand batches over in.

On Linux that is /dev/shm.  Docker gives it 64 MB, less than a few mini-batches of photos; torch's
own loader then loses one and waits for it for ever.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from detection.machine.cores import local_processes

log = logging.getLogger(__name__)

T = TypeVar("T")

SHARED_MEMORY = Path("/dev/shm")
PREFETCHED = 4  # mini-batches that each worker reads ahead
# Of the free shared memory; other programs use it too.
USED_OF_FREE = 0.8
# The longest that one mini-batch may take to read.
TIMEOUT_SECONDS = 300

REMEDY = (
    "give more (docker run --shm-size=2g), or set runtime.workers=0: this process then reads the "
    "images itself"
)


def that_fit(workers: int, *, batch_bytes: int, folder: Path = SHARED_MEMORY) -> tuple[int, int]:
    """(workers, mini-batches that each reads ahead) for which the shared memory has room.

    First fewer are read ahead, then fewer workers read.  (0, 0): not even one worker fits.  What is
    less than wanted is said in one line that names the remedy.
    """
    if workers == 0:
        return 0, 0
    try:
        free = shutil.disk_usage(folder).free // local_processes(os.environ)
    except OSError:  # not Linux: memory is shared otherwise
        return workers, PREFETCHED
    # One more is in the network's hands.
    fitting = int(USED_OF_FREE * free / max(batch_bytes, 1)) - 1
    if fitting >= workers * PREFETCHED:
        return workers, PREFETCHED
    left = max(0, min(workers, fitting))
    ahead = fitting // left if left else 0
    log.warning(
        "%s has %.0f MB free, %d workers want %.0f MB for %d mini-batches each: %s; %s",
        folder,
        free / 1e6,
        workers,
        batch_bytes * (workers * PREFETCHED + 1) / 1e6,
        PREFETCHED,
        f"{left} with {ahead} each" if left else "none fits, this process reads the images itself",
        REMEDY,
    )
    return left, ahead


def shared(batch: torch.Tensor) -> torch.Tensor:
    """``batch``, in shared memory if a worker made it.

    Here a lack of room is an error of the worker, which ends the run; in torch's queue it would
    be a lost batch.
    """
    return batch if torch.utils.data.get_worker_info() is None else batch.share_memory_()


def single_threaded(worker: int) -> None:
    """For a worker process: OpenCV's threads would compete with the network for the cores."""
    cv2.setNumThreads(0)


def timeout(workers: int) -> int:
    """For torch's loader, which waits for ever by default."""
    return TIMEOUT_SECONDS if workers else 0


class Loader(Generic[T]):
    """The mini-batches of torch's loader; what goes wrong in a worker is one ValueError."""

    def __init__(self, loader: DataLoader[T]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[T]:
        batches = iter(self.loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:
                told = in_one_line(error)
                if told is None:
                    raise
                raise told from error
            yield batch


def by_plan(
    dataset: Any,
    plan: Sampler[Any],
    *,
    collate: Callable[[Any], T],
    batch_bytes: int,
    workers: int,
    pin_memory: bool,
) -> Loader[T]:
    """Mini-batches in the order of ``plan``, read by ``workers`` processes (0: by this one).

    Fewer where the shared memory has no room for them, of ``batch_bytes`` each: :func:`that_fit`.
    """
    fitting, ahead = that_fit(workers, batch_bytes=batch_bytes)
    return Loader(
        DataLoader(
            dataset,
            batch_sampler=plan,
            num_workers=fitting,
            collate_fn=collate,
            pin_memory=pin_memory,
            worker_init_fn=single_threaded,
            prefetch_factor=ahead or None,
            timeout=timeout(fitting),
        )
    )


def in_order(dataset: Dataset[T], *, batch_size: int, workers: int) -> Loader[list[T]]:
    """``batch_size`` items at a time, as they come, read by ``workers`` processes (0: by this one).

    Arrays of numpy come through pipes, and take no shared memory.
    """
    return Loader(
        DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=batch_size,
            num_workers=workers,
            collate_fn=list,
            worker_init_fn=single_threaded,
            timeout=timeout(workers),
        )
    )


def in_one_line(error: Exception) -> Exception | None:
    """What a worker's error means; None: it is none of a worker's."""
    text = str(error)
    if ("shared memory" in text and "allocat" in text) or "No space left on device" in text:
        return ValueError(f"{SHARED_MEMORY} is full: {REMEDY}")
    if "timed out after" in text:
        return ValueError(
            f"no mini-batch has come from the workers for {TIMEOUT_SECONDS} s; if the disk is not "
            f"that slow, a worker waits for memory: {REMEDY}"
        )
    told = f"{error.__cause__}\n{text}"  # torch says by which signal in the cause alone
    lost = re.search(r"DataLoader worker \(pid.*?\d\) (?:is |exited )(.*)", told)
    if lost:
        return ValueError(
            f"a process that reads images was lost ({lost[1].split('.')[0]}); if memory is short: "
            f"{REMEDY}"
        )
    if "in DataLoader worker process" in text:
        kind = type(error).__name__
        ends = list(re.finditer(rf"^(?:[\w.]+\.)?{kind}: ", text, re.MULTILINE))
        if ends:
            return type(error)(text[ends[-1].end() :].strip())
    return None
