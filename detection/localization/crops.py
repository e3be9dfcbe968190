"""Mini-batches of random crops with the boxes in them, drawn from (seed, epoch, image) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from detection.classification.crops import Image
from detection.classification.place import Place
from detection.data.batch_plan import Key
from detection.data.loader import Batch, seed_of_draws
from detection.data.workers import shared
from detection.localization.located_images import Boxes, LocatedImages
from detection.structures import ImageBatch, Target


class PlacedCrop(Protocol):
    """A random crop that says where it lies: :class:`detection.classification.crops.ScaleCrop`."""

    @property
    def side(self) -> int: ...

    def with_place(self, image: Image, random: np.random.Generator) -> tuple[Image, Place]: ...


@dataclass(frozen=True)
class LocatedCrops(Dataset[Batch]):
    """A key is (epoch, index of the image).

    ``min_visible``: in [0, 1].  An object of which a smaller fraction lies in the crop is ignored:
    nothing is learnt there.  What the crop cuts of the others is cut of their boxes, too.
    """

    dataset: LocatedImages
    crop: PlacedCrop
    min_visible: float
    seed: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: list[Key]) -> Batch:
        """A mini-batch; a DataLoader calls this method if it exists.  Writes each pixel once."""
        side = self.crop.side
        images = np.empty((len(keys), side, side, 3), dtype=np.uint8)
        targets = []
        for row, (epoch, index) in enumerate(keys):
            numbers = (self.seed, epoch, index)
            image, boxes = self.dataset.read(index)
            images[row], place = self.crop.with_place(image, np.random.default_rng(numbers))
            clipped, visible = cut(place.to_view(boxes), side)
            label = int(self.dataset.classes[index]) + 1
            targets.append(
                Target(
                    boxes=torch.from_numpy(clipped),
                    labels=torch.full((len(boxes),), label),
                    ignored=torch.from_numpy((visible < self.min_visible) | (visible == 0)),
                    seed=seed_of_draws(numbers),
                )
            )
        return Batch(
            ImageBatch(shared(torch.from_numpy(images)), [(side, side)] * len(keys)), targets
        )


def cut(boxes: Boxes, side: int) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes [G, 4], with areas -> those clipped to the crop; [G] the part of each that is left."""
    clipped = boxes.clip(0, side)
    return clipped, _area(clipped) / _area(boxes)


def _area(boxes: Boxes) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
