"""What an import says in the log: the input that was found, and every entry that was not taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from detection.weights.input_format import InputFormat

log = logging.getLogger(__name__)


def log_import(input_format: InputFormat, *, left_out: Sequence[str]) -> None:
    """``left_out``: names in the file.  BN's batch counters are many, so they are only counted."""
    log.info(
        "pixels: %s, mean %s, std %s; stride 2 in the %s convolutions",
        input_format.order,
        input_format.mean,
        input_format.std,
        "1x1" if input_format.stride_in_1x1 else "3x3",
    )
    counters = sum(name.endswith("num_batches_tracked") for name in left_out)
    listed = [name for name in left_out if not name.endswith("num_batches_tracked")]
    if counters:
        listed.append(f"num_batches_tracked of {counters} layers")
    log.info("left out: %s", ", ".join(listed) or "nothing")
