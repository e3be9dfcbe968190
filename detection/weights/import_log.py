"""What an import says in the log: the input that was found, and every entry that was not taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from detection.weights.input_format import InputFormat
from detection.weights.source import summarised

log = logging.getLogger(__name__)


def log_import(input_format: InputFormat, *, left_out: Sequence[str]) -> None:
    """``left_out``: names in the file."""
    log.info(
        "pixels: %s, mean %s, std %s; stride 2 in the %s convolutions",
        input_format.order,
        input_format.mean,
        input_format.std,
        "1x1" if input_format.stride_in_1x1 else "3x3",
    )
    log.info("left out: %s", listed(left_out) or "nothing")


def listed(left_out: Sequence[str]) -> str:
    """In one line: names of one module together, BN's batch counters as their number."""
    counters = sum(name.endswith("num_batches_tracked") for name in left_out)
    names = summarised([n for n in left_out if not n.endswith("num_batches_tracked")])
    if counters:
        names.append(f"num_batches_tracked of {counters} layers")
    return ", ".join(names)
