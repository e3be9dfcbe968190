"""torchvision's NMS operator, loaded without torchvision's Python package.

``import torchvision`` takes as long as ``import torch``, because it imports torch._dynamo: half of
the time until the first detection.  The operator is in a compiled file that needs neither.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor


def _load() -> None:
    spec = importlib.util.find_spec("torchvision")  # does not import it
    if spec is not None and spec.origin is not None:
        for library in sorted(Path(spec.origin).parent.glob("_C*")):
            torch.ops.load_library(library)
    if not hasattr(torch.ops.torchvision, "nms"):
        # Loads them, wherever they are, or says what is wrong.
        import torchvision  # noqa: F401


_load()


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The survivors' indices, best score first: ``torchvision.ops.nms``."""
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, iou_threshold)
    return kept
