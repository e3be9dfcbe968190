"""Where a result goes: a file, a notebook, a viewer, the packages that take it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageShow

from detection.atomic_write import write_text
from detection.user_path import user_path
from detection.visualization.picture_file import encoded, write_picture
from detection.visualization.style import DrawingStyle


class Drawable(Protocol):
    """What :class:`detection.inference.result.Result` offers here."""

    def draw(self, *, bgr: bool = False, style: DrawingStyle) -> NDArray[np.uint8]: ...
    def to_coco(self) -> list[dict[str, Any]]: ...


def write_result(result: Drawable, path: Path, style: DrawingStyle) -> None:
    """The picture that the suffix names, or a ``.json``.  Raises ValueError for another suffix."""
    path = user_path(path)
    if path.suffix.lower() == ".json":
        write_text(path, json.dumps(result.to_coco(), indent=1, ensure_ascii=False) + "\n")
        return
    if not path.suffix or not cv2.haveImageWriter(f"x{path.suffix}"):
        raise ValueError(
            f"{path}: a picture (.jpg, .png, .webp ...) or .json can be written, got the suffix "
            f"{path.suffix!r}"
        )
    write_picture(path, result.draw(bgr=True, style=style))


def to_png(image: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W, 3], BGR -> the bytes of a PNG file."""
    return encoded(image, ".png")


def show_picture(result: Drawable, style: DrawingStyle) -> None:
    """In a notebook's cell, otherwise in the system's viewer; RuntimeError where none is."""
    if _in_notebook():
        importlib.import_module("IPython.display").display(
            Image.fromarray(result.draw(style=style))
        )
    elif not ImageShow.show(Image.fromarray(result.draw(style=style)), title="detections"):
        raise RuntimeError("there is no viewer of pictures here: write one with save('drawn.jpg')")


def _in_notebook() -> bool:
    """Whether a kernel runs this: a plain IPython shell shows no pictures."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def import_optional(name: str) -> ModuleType:
    """A package that an extra of the same name brings; ImportError names it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{name} is needed for this: pip install "detection[{name}]" ({error})'
        ) from None
