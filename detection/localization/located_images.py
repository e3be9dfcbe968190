"""Images that show one class each, and where: ImageNet's CLS-LOC, or any detection data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.classification.images import ImageFiles, LabelledImages
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class LocatedImages:
    """``class_names[classes[i]]`` is the class of image ``i``, ``examples[i]`` where it is shown.

    ``classes``: int64 [M].  ``without``: how many images had no box, and were left out.
    """

    class_names: tuple[str, ...]
    classes: NDArray[np.int64]
    examples: Sequence[Example] = field(repr=False)
    source: Path
    without: int = 0

    @classmethod
    def of(cls, dataset: DetectionDataset) -> LocatedImages:
        """Raises ValueError for an image of several classes, and where none has a box."""
        kept = [example.keep(example.has_area & ~example.crowd) for example in dataset.examples]
        kept = [example for example in kept if len(example.labels)]
        for example in kept:
            if len(names := {dataset.class_names[label - 1] for label in example.labels}) > 1:
                raise ValueError(
                    f"{example.path}: has objects of {len(names)} classes "
                    f"({', '.join(sorted(names))}); for localisation each picture shows one class: "
                    "choose it with data.classes=, or train a detector"
                )
        if not kept:
            raise ValueError(
                f"{dataset.source}: no picture has a box; localisation learns from boxes"
            )
        return cls(
            dataset.class_names,
            np.array([example.labels[0] - 1 for example in kept], dtype=np.int64),
            kept,
            dataset.source,
            len(dataset.examples) - len(kept),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def report(self) -> str:
        boxes = sum(len(example.labels) for example in self.examples)
        left_out = f"; {self.without} without a box are left out" if self.without else ""
        return (
            f"{self.source}: {len(self)} images of {len(self.class_names)} classes with {boxes} "
            f"boxes{left_out}"
        )

    def every(self, count: int | None) -> LocatedImages:
        """About ``count`` of the images, evenly spread; None: all of them."""
        if count is None or count >= len(self):
            return self
        index = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        return replace(
            self, classes=self.classes[index], examples=[self.examples[i] for i in index]
        )

    def read(self, index: int) -> tuple[NDArray[np.uint8], Boxes]:
        """The image uint8 [H, W, 3], BGR, and its boxes [G, 4] in its pixels."""
        # Some of ImageNet's own JPEGs hold damaged bytes; published numbers count them.
        image = read_image(self.examples[index].path, strict=False)
        return image, boxes_in(self.examples[index], (image.shape[0], image.shape[1]))

    def labelled(self) -> LabelledImages:
        """The same images for a classifier."""
        files = ImageFiles([example.path for example in self.examples])
        return LabelledImages(self.class_names, self.classes, files, self.source)


def boxes_in(example: Example, size: tuple[int, int]) -> Boxes:
    """The boxes of an image whose pixels are ``size`` = (height, width).

    Annotations of ImageNet were made on pictures of the size that they say; some of the published
    pictures have another one.
    """
    if size == example.size:
        return example.boxes
    y, x = size[0] / example.size[0], size[1] / example.size[1]
    return example.boxes * np.array((x, y, x, y), dtype=np.float32)
