"""Synthetic pictures and objects, so that a network can be timed without a data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch
import torch.nn.functional as F

from detection.structures import ImageBatch, Target


def pictures(number: int, height: int, width: int, seed: int) -> ImageBatch:
    """``number`` pictures of smooth random colours."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, max(2, height // 32), max(2, width // 32), generator=generator)
    fine = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    pixels = (255 * fine).byte().permute(0, 2, 3, 1).contiguous()
    return ImageBatch(pixels, [(height, width)] * number)


def write_pictures(folder: Path, number: int, height: int, width: int, seed: int) -> list[Path]:
    """:func:`pictures` as JPEG files in ``folder``."""
    paths = []
    for i, pixels in enumerate(pictures(number, height, width, seed).pixels):
        paths.append(folder / f"{i:04}.jpg")
        cv2.imwrite(str(paths[-1]), pixels.numpy())
    return paths


def objects(images: ImageBatch, *, per_image: int, classes: int, seed: int) -> list[Target]:
    """Boxes with sides of an eighth to a half of the image's, of random classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for height, width in images.sizes:
        size = torch.tensor([width, height]) * (
            0.125 + 0.375 * torch.rand(per_image, 2, generator=generator)
        )
        corner = torch.rand(per_image, 2, generator=generator) * (
            torch.tensor([width, height]) - size
        )
        labels = torch.randint(1, classes + 1, (per_image,), generator=generator)
        targets.append(
            Target(
                boxes=torch.cat((corner, corner + size), dim=1),
                labels=labels,
                ignored=torch.zeros(per_image, dtype=torch.bool),
            )
        )
    return targets
