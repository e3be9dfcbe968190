"""Test-time flipping: the predictions for an image and for its mirror image are averaged."""

from __future__ import annotations

import torch

from detection import boxes as box_ops
from detection.inference.steps import RegionClassifier, Sizes
from detection.structures import ImageBatch, RegionPredictions


def mirror(images: ImageBatch) -> ImageBatch:
    """Each image left to right within its own size; the padding stays where it is."""
    pixels = torch.zeros_like(images.pixels)
    for (height, width), image, mirrored in zip(images.sizes, images.pixels, pixels, strict=True):
        mirrored[:height, :width] = image[:height, :width].flip(1)
    return ImageBatch(pixels, images.sizes)


def upright_classifier(classify_mirrored: RegionClassifier, sizes: Sizes) -> RegionClassifier:
    """A classifier on features of the :func:`mirror` images -> one for the images themselves.

    ``sizes``: (height, width) of the images in whose pixels the boxes are.
    """
    widths = [width for _, width in sizes]

    def classify(boxes: list[torch.Tensor]) -> list[RegionPredictions]:
        found = classify_mirrored(
            [box_ops.flip(b, width) for b, width in zip(boxes, widths, strict=True)]
        )
        return [
            RegionPredictions(image.probabilities, box_ops.flip(image.boxes, width))
            for image, width in zip(found, widths, strict=True)
        ]

    return classify
