"""The door: what must be chosen before torch is loaded, said in one line."""

from __future__ import annotations

import functools
import logging
import os
import sys

from detection.machine.cores import find_cores
from detection.machine.neighbours import free_cores
from detection.machine.threads import plan_threads

log = logging.getLogger(__name__)


def choose_threads() -> None:
    """Sets the variables that libgomp reads when it is loaded, unless torch is loaded already."""
    if "torch" in sys.modules:
        return
    cores = find_cores()
    plan = plan_threads(os.environ, cores, free=functools.partial(free_cores, cores))
    os.environ.update(plan.variables)
    if os.environ.get("RANK", "0") == "0":
        log.info("%s", plan)
