"""Which errors say that there is no memory."""

from __future__ import annotations

import pytest

from detection.machine.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    ("error", "says_so"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("[enforce fail] not enough memory: you tried to allocate"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_say_so(error: Exception, says_so: bool) -> None:
    assert is_out_of_memory(error) is says_so
