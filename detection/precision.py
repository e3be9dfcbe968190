"""In which precision a network computes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "bf16"]


def at_least_fp32(values: Tensor) -> Tensor:
    """What losses and boxes are computed in: float32 of bfloat16; float64 stays as it is."""
    return values if values.dtype == torch.float64 else values.float()


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which the network's convolutions and products run in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
