"""Suite `data`: from JPEG files to resized pixels, compared with the readers of other projects.

Compared first: the decoded pixels, which may differ by a few levels.  Resized pixels differ,
because PIL's and torchvision's interpolation blurs before it shrinks and OpenCV's does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.transforms import functional

from detection.benchmarks.measurement import Case
from detection.benchmarks.pictures import write_pictures
from detection.data.image import SUFFIXES, read_image
from detection.data.transforms import Resize

# The mean absolute difference between decoders, in levels of 255.
TOLERANCE = 2.0


def cases(
    *,
    device: torch.device,
    folder: str | None,
    images: int,
    height: int,
    width: int,
    shorter_side: int,
    longest: int,
    seed: int,
) -> Iterator[list[Case]]:
    """One group: the first ``images`` files in ``folder``, or as many synthetic ones."""
    resize = Resize(shorter_sides=[shorter_side], longest=longest)
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            paths = write_pictures(Path(temporary), images, height, width, seed)
        else:
            paths = _some_of(Path(folder), images)
        _compare(paths[0])
        yield [
            _case("PIL, as detectron2", paths, lambda path: _with_pil(path, resize), peer=True),
            _case("torchvision.io", paths, lambda path: _with_torchvision(path, resize), peer=True),
            _case("this", paths, lambda path: resize(read_image(path), shorter_side)),
        ]


def _some_of(folder: Path, number: int) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"data.folder={folder}: no images there")
    return found[:number]


def _case(
    name: str, paths: list[Path], read: Callable[[Path], object], *, peer: bool = False
) -> Case:
    def run() -> None:
        for path in paths:
            read(path)

    return Case(name, "uint8", run, peer=peer, items=len(paths))


def _with_pil(path: Path, resize: Resize) -> NDArray[np.uint8]:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    height, width = resize.size((image.height, image.width), resize.shorter_sides[0])
    pixels = np.asarray(image)[:, :, ::-1]
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _with_torchvision(path: Path, resize: Resize) -> torch.Tensor:
    mode = torchvision.io.ImageReadMode.RGB
    image = torchvision.io.decode_image(torchvision.io.read_file(str(path)), mode)
    size = resize.size((image.shape[1], image.shape[2]), resize.shorter_sides[0])
    resized: torch.Tensor = functional.resize(image, list(size), antialias=True)
    return resized


def _compare(path: Path) -> None:
    """Raises AssertionError if our decoder and PIL's differ."""
    ours = read_image(path).astype(float)
    theirs = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))[:, :, ::-1]
    difference = np.abs(ours - theirs).mean()
    if difference > TOLERANCE:
        raise AssertionError(f"{path}: decoded pixels are off PIL's by {difference:.1f} levels")
