"""Whether an error says that there is no memory left, of the processor's or of a GPU's."""

from __future__ import annotations

import re

# torch's words for it, and cuBLAS's and cuDNN's where they find none for themselves.  torch's error
# for a GPU is a RuntimeError, too.
_WORDS = re.compile(
    r"out of memory|not enough memory|can.?t allocate memory|STATUS_ALLOC_FAILED", re.IGNORECASE
)


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None
    )
