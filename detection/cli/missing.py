"""What to install where an import fails, in one line."""

from __future__ import annotations

import traceback
from pathlib import Path

# What pyproject.toml declares, by the names that are imported.
NEEDED = (
    *("torch", "torchvision", "numpy", "PIL", "pycocotools", "hotcoco", "hydra", "omegaconf"),
    *("yaml", "filelock", "pydantic", "tqdm", "matplotlib", "jinja2", "defusedxml", "safetensors"),
)


def remedy_for(error: ImportError) -> str | None:
    """None for an error that no installation mends."""
    name = (error.name or "").partition(".")[0]
    if name == "cv2" or "/cv2/" in (error.path or "") or _is_raised_in(error, "cv2"):
        # Slim containers and servers have no libGL, which OpenCV's windows need.  We open none.
        return (
            f"OpenCV cannot be loaded ({error}): pip uninstall opencv-python, then pip install "
            "opencv-python-headless, which needs no such library and does all that is needed here"
        )
    if "pip install" in str(error):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and name in NEEDED:
        return (
            f"the package {name} is not installed ({error}): pip install . in the repository "
            "installs all that is needed"
        )
    return None


def _is_raised_in(error: ImportError, package: str) -> bool:
    """Whether the import failed within the package, on a library that is not there."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and package in Path(frames[-1].filename).parts and ".so" in str(error)
