"""metrics.json: what programs read after a tool has run."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from detection.atomic_write import write_text
from detection.version import __version__


def write_metrics(path: Path, **entries: Any) -> None:
    """Writes ``entries`` (``coco``, ``voc``, ``seconds`` ...), the command and the versions."""
    content = {
        **entries,
        "command": " ".join(sys.argv),
        "versions": {
            "detection": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
    }
    write_text(path, json.dumps(content, indent=2) + "\n")
