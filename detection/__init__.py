"""Faster R-CNN as in the appendix of *Deep Residual Learning* (He et al. 2015).

The names below are all that a program needs; docs/api.md shows each.  They are imported when they
are first used (PEP 562), because torch takes seconds to load.

    >>> from detection import Detector
    >>> Detector.load("best.pt")("photo.jpg")
    <Result: ... in photo.jpg...>
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from detection.version import __version__

if TYPE_CHECKING:
    from detection.detector_module import DetectorModule
    from detection.engine.evaluate import evaluate
    from detection.inference.detector import Detector
    from detection.inference.result import Detection, Result
    from detection.training import TrainedRun, train
    from detection.visualization.style import DrawingStyle

__all__ = [
    "Detection",
    "Detector",
    "DetectorModule",
    "DrawingStyle",
    "Result",
    "TrainedRun",
    "__version__",
    "evaluate",
    "train",
]

_MODULES = {
    "Detection": "detection.inference.result",
    "Detector": "detection.inference.detector",
    "DetectorModule": "detection.detector_module",
    "DrawingStyle": "detection.visualization.style",
    "Result": "detection.inference.result",
    "TrainedRun": "detection.training",
    "evaluate": "detection.engine.evaluate",
    "train": "detection.training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_MODULES[name]), name)
    except ImportError as error:
        # As the commands say it: what to install.
        from detection.cli.missing import remedy_for

        if (remedy := remedy_for(error)) is None:
            raise
        raise type(error)(remedy, name=error.name, path=error.path) from error


def __dir__() -> list[str]:
    return sorted(__all__)  # what help and completion show
