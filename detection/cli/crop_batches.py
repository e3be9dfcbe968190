"""Configuration -> the mini-batches of crops that a classifier or a localisation network learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from omegaconf import DictConfig

from detection.classification.loader import CropSource, crop_loader
from detection.data.batch_plan import BatchPlan
from detection.data.workers import Loader
from detection.engine.distributed import Processes
from detection.engine.runtime import Runtime

B = TypeVar("B")


def crop_batches(
    crops: CropSource[B], config: DictConfig, runtime: Runtime, processes: Processes
) -> Callable[[int], Loader[B]]:
    """First iteration -> the mini-batches from there on."""

    def batches(start: int) -> Loader[B]:
        plan = BatchPlan(
            landscape=[True] * len(crops),
            batch_size=config.schedule.batch_size,
            iterations=config.schedule.rules.iterations,
            seed=config.seed,
            start=start,
            rank=processes.rank,
            world_size=processes.world_size,
        )
        pin_memory = runtime.device.type == "cuda"
        return crop_loader(crops, plan, workers=runtime.workers, pin_memory=pin_memory)

    return batches
