"""Choices: the precision, the Winograd convolutions and the chunk of regions that are fastest here.

They are measured once, in a few seconds (:mod:`detection.engine.trials`), and kept in a file of
the user's cache, under what they depend on.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from detection.atomic_write import write_text
from detection.engine.trials import CHUNKS, SHAPES, time_chunks, time_convolutions, time_precisions
from detection.machine.processor import COMPUTES_BF16, instruction_sets, processor_name
from detection.model.region_cache import REGIONS_AT_ONCE
from detection.precision import Precision
from detection.version import __version__

log = logging.getLogger(__name__)


# Of the layers that are timed: another number where they become faster or slower.
LAYERS = 2
# On a busy machine times vary.  Without a clear difference the likelier winner is taken: Winograd's
# third of the multiplications, and REGIONS_AT_ONCE.
CLEARLY = 1.1


@dataclass(frozen=True)
class Choices:
    """``winograd``: the channels of the 3x3 convolutions for which it is faster, on a CPU in fp32.

    ``regions_at_once``: see :func:`detection.model.region_cache.in_chunks`; measured on CPUs.
    ``seconds``: what was measured, by name; "bf16" is missing where the hardware has no bf16.
    ``why``: the reason for the precision.
    """

    precision: Precision
    winograd: tuple[int, ...]
    regions_at_once: int
    seconds: Mapping[str, float]
    why: str


def decide(seconds: Mapping[str, float]) -> Choices:
    """The fastest of what was measured: fp32 unless bf16 is faster, Winograd unless it is clearly
    slower, REGIONS_AT_ONCE unless other chunks are clearly faster.
    """
    winograd = tuple(
        channels
        for channels in SHAPES
        if f"winograd {channels}" in seconds
        and seconds[f"winograd {channels}"] < CLEARLY * seconds[f"direct {channels}"]
    )
    chunks = {size: seconds[f"chunk {size}"] for size in CHUNKS if f"chunk {size}" in seconds}
    at_once = min(chunks, key=chunks.__getitem__, default=REGIONS_AT_ONCE)
    if chunks and chunks[REGIONS_AT_ONCE] < CLEARLY * chunks[at_once]:
        at_once = REGIONS_AT_ONCE
    if "bf16" not in seconds:
        return Choices("fp32", winograd, at_once, dict(seconds), "no bf16 instructions")
    fp32, bf16 = seconds["fp32"], seconds["bf16"]
    why = f"measured: fp32 {1000 * fp32:.0f} ms, bf16 {1000 * bf16:.0f} ms"
    return Choices("bf16" if bf16 < fp32 else "fp32", winograd, at_once, dict(seconds), why)


def measure(device: torch.device) -> dict[str, float]:
    """Seconds by name, as :func:`decide` reads them."""
    seconds: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]):  # a seed that is set gives the same numbers afterwards
        if device.type == "cpu":
            for channels in SHAPES:
                for way, value in time_convolutions(channels).items():
                    seconds[f"{way} {channels}"] = value
        if computes_in_bf16(device):
            winograd = decide(seconds).winograd
            for precision, value in time_precisions(device, winograd_channels=winograd).items():
                seconds[precision] = value
        if device.type == "cpu":
            so_far = decide(seconds)
            chunks = time_chunks(so_far.precision, winograd_channels=so_far.winograd)
            seconds |= {f"chunk {size}": value for size, value in chunks.items()}
    return seconds


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware has bf16 instructions; emulated bf16 takes ten times as long as fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(known or set(instruction_sets()) & set(COMPUTES_BF16))


def choices(
    device: torch.device,
    *,
    timed: Callable[[torch.device], Mapping[str, float]] = measure,
    again: bool = False,
) -> Choices:
    """Those of the cache, or else (and ``again``) of a measurement, which is then kept there."""
    key = key_of(device)
    kept = None if again else _from_cache(_read(cache_file()).get(key))
    if kept is not None:
        return kept
    log.info("measuring once what is fastest on this machine, a few seconds")
    measured = decide(timed(device))
    _write(cache_file(), key, measured)
    return measured


@functools.lru_cache(maxsize=8)
def choices_of_process(device: torch.device, threads: int) -> Choices:
    """:func:`choices`, once in a process, whose home may be read-only."""
    return choices(device)


def key_of(device: torch.device) -> str:
    """All that the choices depend on."""
    if device.type == "cuda":
        hardware = [torch.cuda.get_device_name(device)]
    else:
        threads = f"{torch.get_num_threads()} threads"
        hardware = [processor_name(), " ".join(instruction_sets()), threads]
    ours = f"detection {__version__}, layers {LAYERS}"
    return " | ".join([*hardware, f"torch {torch.__version__}", ours])


def cache_file() -> Path:
    """~/.cache/detection/choices.json, or in XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "detection" / "choices.json"


def _read(path: Path) -> dict[str, Any]:
    """{} if there is none, or one that cannot be read: it is written anew."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, key: str, measured: Choices) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read again: another process may have written in the meantime.
        write_text(path, json.dumps(_read(path) | {key: asdict(measured)}, indent=2) + "\n")
    except OSError as error:
        log.info("%s cannot be written (%s): it is measured each time", path, error.strerror)


def _from_cache(entry: Any) -> Choices | None:
    """None for anything but what :func:`_write` writes."""
    try:
        seconds = {str(name): float(value) for name, value in entry["seconds"].items()}
        kept = decide(seconds)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    return kept if asdict(kept) == {**entry, "winograd": tuple(entry["winograd"])} else None
