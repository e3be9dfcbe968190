"""What the recipe looks at: the pictures, their boxes, and the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset
from detection.data.repeat_factors import classes_shown

# Without any box: an object of a fifth of the picture's side.
_TYPICAL = 0.2


@dataclass(frozen=True)
class DataFacts:
    """``sizes``: [N, 2], (height, width) of the pictures that train.

    ``boxes``: [G, 2], (height, width) of what is to be learnt, in pixels; ``picture``: [G], the
    index of each one's picture.  ``shown``: [N, C], which classes a picture shows.
    ``validated``: the number of pictures for validation.
    """

    sizes: NDArray[np.float64]
    boxes: NDArray[np.float64]
    picture: NDArray[np.int64]
    shown: NDArray[np.bool_]
    validated: int

    @staticmethod
    def of(
        train_set: DetectionDataset,
        val_set: DetectionDataset,
        *,
        ignore_crowd: bool,
        ignore_difficult: bool,
    ) -> DataFacts:
        examples = train_set.examples
        learnt = [
            e.boxes[e.has_area & ~e.ignored(crowd=ignore_crowd, difficult=ignore_difficult)]
            for e in examples
        ]
        boxes = np.concatenate([np.zeros((0, 4)), *learnt])
        return DataFacts(
            sizes=np.array([example.size for example in examples], np.float64),
            boxes=(boxes[:, 2:] - boxes[:, :2])[:, ::-1].astype(np.float64),
            picture=np.repeat(np.arange(len(examples)), [len(own) for own in learnt]),
            shown=classes_shown(
                train_set, ignore_crowd=ignore_crowd, ignore_difficult=ignore_difficult
            ),
            validated=len(val_set),
        )

    @property
    def pictures(self) -> int:
        return len(self.sizes)

    @property
    def classes(self) -> int:
        return self.shown.shape[1]

    def relative_sizes(self) -> NDArray[np.float64]:
        """[G]: the root of each box's area, as a part of its picture's shorter side."""
        if not len(self.boxes):
            return np.array([_TYPICAL])
        roots = np.sqrt(self.boxes.prod(axis=1))
        shorter: NDArray[np.float64] = self.sizes.min(axis=1)[self.picture]
        return roots / shorter

    def scaled(self, shorter: int, longest: int) -> NDArray[np.float64]:
        """[G, 2]: (height, width) of the boxes in pictures of the training's size."""
        low, high = self.sizes.min(axis=1), self.sizes.max(axis=1)
        scale = np.minimum(shorter / low, longest / high)
        return self.boxes * scale[self.picture][:, None]


@dataclass(frozen=True)
class DeviceFacts:
    """``memory``: free on the accelerator, in GiB; 0 on a CPU.

    ``processes``: how many train together.
    """

    is_gpu: bool
    memory: float
    processes: int = 1
