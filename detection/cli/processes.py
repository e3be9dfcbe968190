"""The processes and the runtime of a command that may run as several processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig

from detection.engine.distributed import Processes, join_processes
from detection.engine.runtime import Runtime, set_up_runtime


@contextmanager
def runtime_and_processes(
    config: DictConfig, *, one_size: bool = False
) -> Iterator[tuple[Runtime, Processes]]:
    """Joins the processes and applies ``config.runtime``; the others log warnings only.

    ``one_size``: whether all mini-batches have the same shape.
    """
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = config.runtime.device
    device_type = automatic if device == "auto" else device.split(":")[0]
    with join_processes(device_type) as processes:
        if not processes.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        local_rank = processes.local_rank
        yield (
            set_up_runtime(**config.runtime, local_rank=local_rank, one_size=one_size),
            processes,
        )
