"""The processes and the runtime of a command that may run as several processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detection.cli.resumed_settings import begun_with
from detection.engine.distributed import Processes, join_processes
from detection.engine.runtime import Runtime, set_up_runtime

log = logging.getLogger(__name__)

# What a run that is gone on with keeps: another precision or algorithm rounds otherwise.
KEPT = ("precision", "winograd", "regions_at_once")


@contextmanager
def runtime_and_processes(
    config: DictConfig, *, one_size: bool = False
) -> Iterator[tuple[Runtime, Processes]]:
    """Joins the processes and applies ``config.runtime``; the others log warnings only.

    Where that says auto, ``config`` says afterwards what was chosen, and a resumed run goes on with
    what it began with.  ``one_size``: whether all mini-batches have the same shape.
    """
    with join_processes(config.runtime.device) as processes:
        if not processes.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        settings = dict(config.runtime) | _kept(config)
        runtime = set_up_runtime(**settings, processes=processes, one_size=one_size)
        for key in KEPT:
            config.runtime[key] = getattr(runtime, key)
        yield runtime, processes


def _kept(config: DictConfig) -> dict[str, Any]:
    """Those of KEPT that the run in ``config.output_dir`` began with, in the place of auto."""
    if not config.get("resume"):
        return {}
    folder = Path(config.output_dir)
    # Of alternating training, the first step.
    runs = [folder, *sorted(path.parent for path in folder.glob("*/config.yaml"))]
    before = next((found for run in runs if (found := begun_with(run))), OmegaConf.create())
    kept = {}
    for key in KEPT:
        began_with = OmegaConf.select(before, f"runtime.{key}")
        if began_with in (None, "auto") or began_with == config.runtime[key]:
            continue
        if config.runtime[key] == "auto":
            kept[key] = began_with
        else:
            log.warning(
                "this run began with runtime.%s=%s and goes on with %s: numbers round otherwise",
                key,
                began_with,
                config.runtime[key],
            )
    return kept
