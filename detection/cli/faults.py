"""Faults of the machine, in one line with its remedy: no room on the disk, no memory."""

from __future__ import annotations

import os

from detection.atomic_write import FULL
from detection.machine.out_of_memory import is_out_of_memory

# Of sysexits.h: an error of input or output, and one of the system.
DISK_EXIT_CODE, MEMORY_EXIT_CODE = 74, 71


def fault(error: BaseException) -> tuple[str, int] | None:
    """What to print, and the exit code; None if it is no fault of the machine."""
    if isinstance(error, OSError) and error.errno in FULL:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return (
            f"{where}{error.strerror}: make room, and run it again with resume=true; "
            "what was written before is whole",
            DISK_EXIT_CODE,
        )
    if is_out_of_memory(error):
        first = (str(error).splitlines() or [""])[0][:120] or "out of memory"
        return (
            f"{first}: take smaller batches (schedule.batch_size, batch_size) or pictures "
            "(data.shorter_sides, inference.shorter_sides), or fewer runtime.workers",
            MEMORY_EXIT_CODE,
        )
    return None
