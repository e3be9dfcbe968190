"""The processes of one training: ``torchrun --nproc-per-node=2 tools/train_net.py ...``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """``rank``: which of the ``world_size`` processes this is; 0 alone writes files and bars.

    ``messages``: the group in which they send each other Python values; None: torch's default one.
    """

    rank: int
    world_size: int
    local_rank: int
    messages: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def from_first(self, value: Any) -> Any:
        """The first process's ``value``, in all of them; the others' values are ignored."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.messages)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks, in all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.messages)
        return values

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Of each name the mean over all processes, in all of them."""
        everybody = self.gather(values)
        return {
            name: sum(values_of_one[name] for values_of_one in everybody) / self.world_size
            for name in values
        }

    def wait(self) -> None:
        """Until all processes have come here."""
        self.gather(None)


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Joins the processes that torchrun started, if it did; leaves them at the end.

    ``device``: what they compute on, see :func:`resolve_device`.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local_rank = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    if world_size == 1:
        yield Processes(rank, world_size, local_rank)
        return
    on_gpu = resolve_device(device, local_rank).type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo")
    # The others wait while the first one validates: on a large data set for hours.  They wait on
    # the CPU, so that their GPUs stay idle.
    messages = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    assert isinstance(messages, dist.ProcessGroup)  # every process is a member
    yield Processes(rank, world_size, local_rank, messages)
    # Not after an error: leaving needs all processes, and the others may be waiting for gradients.
    # torchrun sees a process that ends, and ends the others.
    dist.destroy_process_group()


def resolve_device(name: str, local_rank: int = 0, *, key: str = "runtime.device") -> torch.device:
    """ "auto", "cpu", "cuda" or "cuda:1" -> a device that exists; ValueError otherwise.

    ``key``: what the errors call it.
    """
    count = torch.cuda.device_count()
    choices = "choose auto, cpu, cuda or cuda:<index>"
    if name == "auto":
        name = "cuda" if count else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"{key}={name!r}: {choices}") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"{key}={name!r}: {choices}")
    if device.index is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"{key}={name!r}: several processes need a GPU each; use {key}=cuda, "
            "and CUDA_VISIBLE_DEVICES to choose some of them"
        )
    index = local_rank if device.index is None else device.index
    if index >= count:
        raise ValueError(
            f"{key}={name!r}: this machine has {count} CUDA devices"
            + (f" (cuda:0 ... cuda:{count - 1})" if count else f"; use {key}=cpu")
        )
    return torch.device("cuda", index)
