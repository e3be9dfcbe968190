"""The door: runs a command under its configuration, and turns what is wrong into one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from detection.cli.compose import compose_config, groups_of
from detection.engine.distributed import Processes, join_processes
from detection.engine.runtime import Runtime, set_up_runtime


def launch(main: Callable[[DictConfig], None], *, config: str) -> None:
    """Calls ``main`` with configs/<config>.yaml under the overrides of the command line.

    ``--help`` prints the configuration.  What is wrong with the user's input (ValueError and
    files that are not there) ends the program with one line instead of a traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = sys.argv[1:]
    wants_help = "--help" in arguments or "-h" in arguments
    try:
        composed = compose_config(config, [a for a in arguments if a not in ("--help", "-h")])
        if wants_help:
            print(_help(main, config, composed))
            return
        main(composed)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        if os.environ.get("DETECTION_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")
    except MissingMandatoryValue as error:
        key = error.full_key or "a value"
        sys.exit(f"error: {key} is needed: add {key}=... to the command line (--help lists all)")
    except OmegaConfBaseException as error:
        sys.exit(f"error: configuration: {error}")


@contextmanager
def started(config: DictConfig, *, one_size: bool = False) -> Iterator[tuple[Runtime, Processes]]:
    """Joins the processes and applies ``config.runtime``; all but the first log warnings alone.

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


def _help(main: Callable[[DictConfig], None], config: str, composed: DictConfig) -> str:
    description = (sys.modules[main.__module__].__doc__ or "").strip()
    groups = "\n".join(f"  {name}={'|'.join(files)}" for name, files in groups_of(config).items())
    return (
        f"{description}\n\nGroups:\n{groups}\n\nAll values (override any as key=value), from "
        f"configs/{config}.yaml:\n\n{OmegaConf.to_yaml(composed)}"
    )
