"""Suite `neighbours`: steps on a quiet machine, and beside processes that keep a core busy each.

What is chosen by the machine should never be slower than the better of fp32 and bf16 by more than
5 %, nor beside neighbours take more than 2.5 times as long as on a quiet machine.  ``facts`` of a
row: ``neighbours``; ``times_quiet``, its time over that of the quiet machine; ``of_better``, the
time of what was chosen over that of the better precision; and what was chosen.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from detection.benchmarks.measurement import Case
from detection.benchmarks.step_process import StepProcess
from detection.engine.choices import computes_in_bf16

Quiet = dict[tuple[str, str], float]  # (kind, row) -> seconds of a step


def cases(
    *,
    device: torch.device,
    kinds: Sequence[str],
    neighbours: Sequence[int],
    one_login: bool,
    peer: bool,
    overrides: Sequence[str],
    height: int,
    width: int,
    objects_per_image: int,
    classes: int,
    seed: int,
) -> Iterator[list[Case]]:
    """A group for each of ``kinds``, train and inference, and each number of ``neighbours``.

    ``one_login``: whether the busy processes are of one login session, which Linux gives as much of
    the cores as ours; else each is of its own.  ``peer``: whether torchvision's network has a row;
    beside busy processes its threads spin.

    Raises ValueError unless the first number is 0: the others are compared with it.
    """
    if not neighbours or neighbours[0] != 0:
        raise ValueError("neighbours.neighbours must begin with 0, the quiet machine")
    if device.type != "cpu":
        raise ValueError("suite=neighbours is for CPUs: set device=cpu")
    rows = {"torchvision as C4": {"network": "torchvision", "precision": "fp32"}} if peer else {}
    rows["this"] = {"network": "this", "precision": "auto"}
    rows["this, fp32"] = {"network": "this", "precision": "fp32"}
    if computes_in_bf16(device):
        rows["this, bf16"] = {"network": "this", "precision": "bf16"}
    common = {
        "overrides": list(overrides),
        "height": height,
        "width": width,
        "seed": seed,
        "objects_per_image": objects_per_image,
        "classes": classes,
    }
    quiet: Quiet = {}
    for kind in kinds:
        for number in neighbours:
            with ExitStack() as stack:
                stack.enter_context(busy_processes(number, one_login=one_login))
                timed = {}
                for name, row in rows.items():
                    process = StepProcess(kind=kind, **common, **row)
                    stack.callback(process.close)
                    timed[name] = TimedSteps(process, process.facts | {"neighbours": number})
                yield [
                    Case(
                        f"{kind}, {name}, beside {number}",
                        "float32",
                        _noting(timed, name, kind, quiet, is_quiet=number == 0),
                        peer=name.startswith("torchvision"),
                        facts=one.facts,
                    )
                    for name, one in timed.items()
                ]


class TimedSteps:
    """Steps of a process, their ``seconds`` and ``facts``, which grow with them."""

    def __init__(self, step: Callable[[], object], facts: dict[str, Any]) -> None:
        self.step, self.facts = step, facts
        self.seconds: list[float] = []

    def __call__(self) -> float:
        """Runs one; returns the median so far."""
        began = time.perf_counter()
        self.step()
        self.seconds.append(time.perf_counter() - began)
        return statistics.median(self.seconds)


def _noting(
    timed: dict[str, TimedSteps], name: str, kind: str, quiet: Quiet, *, is_quiet: bool
) -> Callable[[], None]:
    """One step of row ``name``, after which its facts hold the two ratios."""

    def run() -> None:
        one = timed[name]
        median = one()
        if is_quiet:
            quiet[kind, name] = median
        one.facts["times_quiet"] = median / quiet[kind, name]
        precisions = [timed[row].seconds for row in ("this, fp32", "this, bf16") if row in timed]
        if name == "this" and all(precisions):
            one.facts["of_better"] = median / min(map(statistics.median, precisions))

    return run


# They end when the benchmark does, however that ends.
_BUSY = """
import os
import sys
parent, first = os.getppid(), os.getpid()
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        parent = first
        break
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_processes(number: int, *, one_login: bool = False) -> Iterator[None]:
    """Within it, so many processes keep a core busy each, in one other session or in one each."""
    program = [sys.executable, "-c", _BUSY]
    sessions = [number] if one_login and number else [1] * number
    started = [subprocess.Popen([*program, str(busy)], start_new_session=True) for busy in sessions]
    try:
        if started:
            time.sleep(0.2)  # until they have come to their loop
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
