"""In which precision a network computes."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which the network's convolutions and products run in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
