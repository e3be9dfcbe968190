"""The seconds that a network spends in each of its stages: backbone, RPN, pooling, head."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from detection.benchmarks.clock import synchronize

# The methods that make up each stage, as (object, name).
Stages = Mapping[str, Sequence[tuple[object, str]]]


@contextlib.contextmanager
def timed_stages(stages: Stages, device: torch.device) -> Iterator[dict[str, float]]:
    """Yields seconds by stage; inside the context every call of a stage's method adds to them."""
    seconds = dict.fromkeys(stages, 0.0)

    def timed(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            synchronize(device)
            start = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                synchronize(device)
                seconds[stage] += time.perf_counter() - start

        return call

    methods = [(stage, *method) for stage, of_stage in stages.items() for method in of_stage]
    before = [dict(vars(owner)) for _, owner, _ in methods]
    try:
        for stage, owner, name in methods:
            vars(owner)[name] = timed(stage, getattr(owner, name))
        yield seconds
    finally:
        for (_, owner, name), attributes in zip(methods, before, strict=True):
            vars(owner).pop(name)
            if name in attributes:
                vars(owner)[name] = attributes[name]
