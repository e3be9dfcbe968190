"""Where published weights are kept: in the cache of torch.hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from detection.weights.published import Published


def hub_folder() -> Path:
    """``torch.hub.get_dir()/checkpoints``, where torch and torchvision keep what they download.

    Torch is asked only if it is loaded already, because loading it takes seconds.
    """
    if "torch" in sys.modules:
        import torch.hub

        return Path(torch.hub.get_dir()) / "checkpoints"
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"


def kept_file(row: Published) -> Path:
    """Where the imported weights are, or will be: a checkpoint of this package."""
    return hub_folder() / "detection" / f"{row.name}.safetensors"
