"""The machine's own limits, which every suite measures first."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import pytest
import torch

from detection.benchmarks import arithmetic, benchmark, memory


@pytest.fixture(scope="session", autouse=True)
def _limits_are_measured_once() -> Iterator[None]:
    # In bfloat16 that takes many seconds on a processor without it.
    @functools.cache
    def ceiling(device: torch.device, dtype: str) -> float:
        return arithmetic.ceilings(device, [dtype])[dtype]

    def ceilings(device: torch.device, dtypes: Sequence[str]) -> dict[str, float]:
        return {dtype: ceiling(device, dtype) for dtype in dtypes}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "ceilings", ceilings)
        patch.setattr(benchmark, "copy_bandwidth", functools.cache(memory.copy_bandwidth))
        yield
