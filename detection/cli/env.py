"""Prints the machine, the versions and what is fastest here, for a bug report: python tools/env.py

What was measured is in milliseconds: the fastest of a few runs of a layer, or of a block of conv4
and one of conv5, with their gradients; of the regions at once, of a block of conv5 in testing.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator

import torch
from omegaconf import DictConfig

from detection.data.workers import SHARED_MEMORY
from detection.engine.choices import Choices, cache_file, choices
from detection.engine.distributed import resolve_device
from detection.engine.trials import CHUNKS, REGIONS, SHAPES
from detection.machine.cores import find_cores, share_of
from detection.machine.processor import instruction_sets, memory, processor_name
from detection.machine.threads import POLICY, SPINS, THREADS
from detection.ops import extension
from detection.version import __version__

PACKAGES = (
    *("torchvision", "numpy", "opencv-python", "opencv-python-headless", "pillow", "pycocotools"),
    *("hotcoco", "hydra-core", "omegaconf", "safetensors"),
)


def main(config: DictConfig) -> None:
    device = resolve_device(config.device, key="device")
    chosen = choices(device, again=config.measure_again)
    lines = [*_machine(device), *_software(), *_threads(), *_choices(device, chosen)]
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:{width}}  {value}" for name, value in lines))


def _machine(device: torch.device) -> Iterator[tuple[str, str]]:
    yield "system", platform.platform()
    yield "processor", processor_name()
    yield "instruction sets", " ".join(instruction_sets()) or "unknown"
    cores = find_cores()
    yield "cores", str(cores)
    share = share_of(cores, on_gpu=device.type == "cuda")
    yield "shared out", f"{share.threads} to compute, {share.workers} to read images"
    if (found := memory()) is not None:
        yield "memory", f"{found[0]:.1f} GB, {found[1]:.1f} GB of it available"
    if SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(SHARED_MEMORY).free
        yield "shared memory", f"{free / 1e6:.0f} MB free in {SHARED_MEMORY}"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield "GPU", ", ".join(gpus) or "none"


def _software() -> Iterator[tuple[str, str]]:
    yield "detection", f"{__version__}, Python {platform.python_version()}"
    capability = torch.backends.cpu.get_cpu_capability()
    yield "torch", f"{torch.__version__}, its CPU kernels for {capability}"
    versions = ((name, _version(name)) for name in PACKAGES)
    yield "packages", ", ".join(f"{name} {version}" for name, version in versions if version)
    for name, facts in (("CPU operators", extension.cpu), ("CUDA operators", extension.cuda)):
        said = facts if isinstance(facts, str) else ", ".join(f"{k}: {v}" for k, v in facts.items())
        yield name, said


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads() -> Iterator[tuple[str, str]]:
    given = [
        f"{name}={os.environ[name]}" for name in (THREADS, POLICY, SPINS) if name in os.environ
    ]
    yield "threads now", f"{torch.get_num_threads()} ({', '.join(given)})"


def _choices(device: torch.device, chosen: Choices) -> Iterator[tuple[str, str]]:
    yield "device", str(device)
    yield "precision=auto", f"{chosen.precision} ({chosen.why})"
    if device.type == "cpu":
        times = [
            f"{channels} channels {1000 * chosen.seconds[f'direct {channels}']:.1f} -> "
            f"{1000 * chosen.seconds[f'winograd {channels}']:.1f} ms"
            f" ({'yes' if channels in chosen.winograd else 'no'})"
            for channels in SHAPES
        ]
        yield "winograd=auto", ", ".join(times)
        chunks = [f"{size} in {1000 * chosen.seconds[f'chunk {size}']:.0f} ms" for size in CHUNKS]
        yield (
            "regions_at_once=auto",
            f"{chosen.regions_at_once} ({REGIONS} regions, at once {', '.join(chunks)})",
        )
    yield "kept in", str(cache_file())
