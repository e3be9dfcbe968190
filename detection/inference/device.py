"""The device that a detector is put on, by name."""

from __future__ import annotations

import torch


def find_device(name: torch.device | str) -> torch.device:
    """``auto``: a CUDA GPU if there is one.  Raises ValueError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}") from None
    if device.type == "meta":
        raise ValueError("device meta holds no numbers: device must be auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ValueError(f"device {name}: torch sees {found} CUDA devices here; use cpu, or auto")
    if device.type not in ("cpu", "cuda"):
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, ImportError):  # as its part of torch has it
            raise ValueError(
                f"device {name}: this torch has none; use auto, cpu, cuda or cuda:N"
            ) from None
    return device
