"""What the parts of the detector hand to each other: small frozen dataclasses.

Boxes follow the convention of :mod:`detection.boxes`.  Labels are those of Fast R-CNN (Girshick
2015, section 2.3): 0 is background, 1 ... C are the object classes, so ``class_names[label - 1]``
is the name of an object's class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from detection import boxes as box_ops

# What a validation measured, by name: fractions in [0, 1] and seconds; None: not defined.
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class ImageBatch:
    """Images padded at the right and at the bottom to a common size.

    ``pixels``: uint8 [N, H, W, 3], channels in the order the image reader gives them (BGR).
    ``sizes``: (height, width) of the valid area of each image, in pixels of ``pixels``.
    """

    pixels: Tensor
    sizes: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.sizes)

    def of_one_size(self) -> list[tuple[list[int], ImageBatch]]:
        """The images of each size without padding, and their places in this mini-batch.

        A convolution behind a bias sees padding as more than zeros: what an image gives would
        depend on its neighbours.
        """
        places: dict[tuple[int, int], list[int]] = {}
        for place, size in enumerate(self.sizes):
            places.setdefault(size, []).append(place)
        return [(of_size, self._without_padding(of_size, size)) for size, of_size in places.items()]

    def _without_padding(self, places: list[int], size: tuple[int, int]) -> ImageBatch:
        """Those images, which are all of that size."""
        if len(places) == len(self) and size == (self.pixels.shape[1], self.pixels.shape[2]):
            return self
        height, width = size
        # Slices and no index: copying an index to a GPU would make the host wait.
        pixels = torch.stack([self.pixels[place, :height, :width] for place in places])
        return ImageBatch(pixels, [size] * len(places))

    def to(self, device: torch.device) -> ImageBatch:
        return ImageBatch(self.pixels.to(device, non_blocking=True), self.sizes)

    def pin_memory(self) -> ImageBatch:
        return ImageBatch(self.pixels.pin_memory(), self.sizes)


@dataclass(frozen=True)
class Target:
    """The ground truth of one image, in pixels of the resized image.

    ``boxes``: float32 [G, 4].  ``labels``: int64 [G], 1 ... C.
    ``ignored``: bool [G]; an ignored object (crowd, difficult) is never learnt as foreground.
    ``proposals``: float32 [P, 4], where Fast R-CNN learns on proposals out of a file.
    ``seed``: of the draws of anchors and regions, a whole number; None: torch's global generator.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    proposals: Tensor | None = None
    seed: int | None = None

    def generator(self, use: int) -> torch.Generator | None:
        """The random numbers for one ``use``, on the device of the boxes; None: the global ones."""
        if self.seed is None:
            return None
        return torch.Generator(self.boxes.device).manual_seed(self.seed + use)

    def to(self, device: torch.device) -> Target:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Target:
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Target:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {
            name: change(value) for name, value in tensors.items() if isinstance(value, Tensor)
        }
        return replace(self, **changed)


@dataclass(frozen=True)
class Proposals:
    """What the RPN proposes in one image, best first.

    ``boxes``: float32 [P, 4], clipped to the image.  ``logits``: float32 [P], objectness.
    """

    boxes: Tensor
    logits: Tensor

    def in_original(self, size: tuple[int, int], original: tuple[int, int]) -> Proposals:
        """In pixels of the image as it was, and inside it, on the CPU.

        ``size``, ``original``: height and width of the image as the model saw it, and as it was.
        """
        # Clipped again: rescaling rounds, and a box may leave its image by that.
        boxes = box_ops.clip(box_ops.rescale(self.boxes, size, original), original)
        return Proposals(boxes.cpu(), self.logits.cpu())


@dataclass(frozen=True)
class RegionPredictions:
    """What the Fast R-CNN head says of the R regions of one image.

    ``probabilities``: float32 [R, C + 1], softmax over background (0) and the C classes.
    ``boxes``: float32 [R, C, 4], the box regressed for each class, clipped to the image.
    """

    probabilities: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Detections:
    """The final detections in one image, best first.

    ``boxes``: float32 [D, 4]; those that a detector returns lie inside the image.
    ``scores``: float32 [D] in [0, 1].  ``labels``: int64 [D], 1 ... C.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor | slice) -> Detections:
        return Detections(self.boxes[index], self.scores[index], self.labels[index])

    def cpu(self) -> Detections:
        return Detections(self.boxes.cpu(), self.scores.cpu(), self.labels.cpu())

    def clone(self) -> Detections:
        return Detections(self.boxes.clone(), self.scores.clone(), self.labels.clone())


class _Summands:
    """Losses, scalars all, that are minimised as their sum."""

    def total(self) -> Tensor:
        first, *others = vars(self).values()
        return sum(others, start=first)

    def detached(self) -> dict[str, Tensor]:
        """The losses by name, out of the graph and still on their device, ``total`` included."""
        named = {name: loss.detach() for name, loss in vars(self).items()}
        return {**named, "total": self.total().detach()}


@dataclass(frozen=True)
class RPNLosses(_Summands):
    """The region proposal network's (Ren et al. 2015, eq. 1)."""

    rpn_objectness: Tensor
    rpn_box: Tensor


@dataclass(frozen=True)
class HeadLosses(_Summands):
    """Fast R-CNN's (Girshick 2015, eq. 1)."""

    head_class: Tensor
    head_box: Tensor


@dataclass(frozen=True)
class Losses(HeadLosses, RPNLosses):
    """The four losses of joint training."""


def class_index(class_names: Sequence[str]) -> dict[str, int]:
    """Name -> label (1 ... C)."""
    return {name: label for label, name in enumerate(class_names, start=1)}
