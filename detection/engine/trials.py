"""Trials: how long this machine takes for the layers that a detector spends its time in.

A few runs of a part of a network say what a rule cannot: a processor may have bf16 instructions and
be slower with them, or products so fast that Winograd's transforms cost more than they save.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.frozen_bn import fold, use_winograd
from detection.model.resnet import Bottleneck
from detection.ops import winograd
from detection.precision import Precision, autocast

Name = TypeVar("Name", str, int)

ROUNDS = 5
ENOUGH_SECONDS = 0.7  # after which a second round is the last
# What takes this many times as long as the fastest is not run again: emulated bf16 takes seconds.
HOPELESS = 4.0

# How many regions go through the per-region layers at once, and for how many it is measured.
CHUNKS = (32, 64, 128)
REGIONS = max(CHUNKS)

# The 3x3 convolutions of conv3, conv4 and conv5: channels -> the shape of their input in a photo of
# 600 x 800, and for the 32 regions that fill conv5's matrix products.
SHAPES = {128: (1, 75, 100), 256: (1, 38, 50), 512: (32, 7, 7)}


def fastest(
    runs: Mapping[Name, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    enough: float = ENOUGH_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, float]:
    """Seconds of the fastest run of each; they run in turn, so that a busy moment slows all.

    The first run, which also prepares, counts only for what is HOPELESS.
    """

    def timed(run: Callable[[], object]) -> float:
        began = clock()
        run()
        return clock() - began

    found = {name: timed(run) for name, run in runs.items()}
    began_at = clock()
    for number in range(rounds):
        if number > 1 and clock() - began_at > enough:
            break
        best = min(found.values())
        for name, run in runs.items():
            if found[name] <= HOPELESS * best:
                seconds = timed(run)
                found[name] = seconds if number == 0 else min(found[name], seconds)
    return found


def time_convolutions(channels: int) -> dict[str, float]:
    """ "direct" and "winograd" -> seconds of a 3x3 convolution on the CPU, and of its gradients."""
    number, height, width = SHAPES[channels]
    x = torch.randn(number, channels, height, width).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
    scale, shift = torch.ones(channels), torch.zeros(channels)
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "direct": lambda x, w: F.conv2d(x, w * scale[:, None, None, None], shift, padding=1),
        "winograd": lambda x, w: winograd.conv3x3(x, w, scale, shift),
    }

    def run(way: Callable[[Tensor, Tensor], Tensor]) -> None:
        learns = weight.detach().requires_grad_()
        y = way(x.detach().requires_grad_(), learns)
        y.backward(torch.ones_like(y))

    return fastest({name: lambda way=way: run(way) for name, way in ways.items()})  # type: ignore[misc]


def time_precisions(
    device: torch.device, *, winograd_channels: tuple[int, ...]
) -> dict[Precision, float]:
    """Seconds in each precision of a block of conv4 and of conv5, without and with gradients."""
    blocks = [_block(channels, device, winograd_channels) for channels in (256, 512)]
    inputs = [_input(4 * channels, *SHAPES[channels], device) for channels in (256, 512)]

    def run(precision: Precision) -> None:
        for block, x in zip(blocks, inputs, strict=True):
            with autocast(device, precision):
                with torch.no_grad():
                    block(x)
                y = block(x)
            y.float().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    names: tuple[Precision, Precision] = ("fp32", "bf16")
    times = fastest({name: lambda name=name: run(name) for name in names})  # type: ignore[misc]
    return {name: times[name] for name in names}


@torch.no_grad()
def time_chunks(precision: Precision, *, winograd_channels: tuple[int, ...]) -> dict[int, float]:
    """Seconds that REGIONS regions take on the CPU in a block of conv5, in chunks of each size."""
    device = torch.device("cpu")
    block = _block(512, device, winograd_channels)
    fold(block)
    regions = _input(2048, REGIONS, *SHAPES[512][1:], device)

    def run(size: int) -> None:
        with autocast(device, precision):
            for chunk in regions.split(size):
                block(chunk)

    return fastest({size: partial(run, size) for size in CHUNKS})


def _block(channels: int, device: torch.device, winograd_channels: tuple[int, ...]) -> nn.Module:
    """One of conv4 (256 channels) or conv5 (512), to which and from which go four times as many."""
    block = Bottleneck(
        4 * channels, channels, stride=1, stride_in_1x1=True, shortcut="B", norm="frozen"
    )
    use_winograd(block, winograd_channels)
    return block.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _input(channels: int, number: int, height: int, width: int, device: torch.device) -> Tensor:
    x = torch.randn(number, channels, height, width, device=device)
    return x.contiguous(memory_format=torch.channels_last)
