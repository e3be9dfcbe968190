"""A part of a training image in the place of the whole: objects appear larger and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Target

Region = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels of an image

# An object stays if so much of its area is inside; one of which less than the other part is inside
# leaves nothing that could be taken for it.  What lies between would be half an object that is
# called background: such a region is drawn anew, up to so many times.
_STAYS, _NOTHING = 0.5, 0.1
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class RandomCrop:
    """A region of an image's own aspect ratio that shows an object, and of none a mere piece.

    ``probability``: of a crop, in [0, 1]; where no region is found in ten tries, the image stays
    whole.  ``least``: the region's smallest sides as a part of the image's, in (0, 1].
    """

    probability: float
    least: float

    def draw(
        self, size: tuple[int, int], target: Target, random: np.random.Generator
    ) -> Region | None:
        """Of an image of ``size``, height and width; None: all of it."""
        if random.random() >= self.probability:
            return None
        height, width = size
        for _ in range(_TRIES):
            part = random.uniform(self.least, 1)
            h, w = max(1, round(part * height)), max(1, round(part * width))
            y, x = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
            region = (x, y, x + w, y + h)
            if _shows_whole_objects(target, region):
                return region
        return None


def _shows_whole_objects(target: Target, region: Region) -> bool:
    inside = _part_inside(target.boxes[~target.ignored], region)
    stays = inside >= _STAYS
    found = bool(stays.any()) or not len(inside)
    if target.proposals is not None:
        found &= bool((_part_inside(target.proposals, region) >= _STAYS).any())
    return found and not bool(((inside >= _NOTHING) & ~stays).any())


def only_within(target: Target, region: Region) -> Target:
    """The objects, and the proposals, of which ``region`` shows a half, in pixels of it.

    What is ignored stays wherever some of it is seen: else that would be background.
    """
    inside = _part_inside(target.boxes, region)
    stays = (inside >= _STAYS) | (target.ignored & (inside > 0))
    proposals = target.proposals
    if proposals is not None:
        proposals = _moved(proposals[_part_inside(proposals, region) >= _STAYS], region)
    return replace(
        target,
        boxes=_moved(target.boxes[stays], region),
        labels=target.labels[stays],
        ignored=target.ignored[stays],
        proposals=proposals,
    )


def _moved(boxes: Tensor, region: Region) -> Tensor:
    x1, y1, x2, y2 = region
    return box_ops.clip(boxes - boxes.new_tensor((x1, y1, x1, y1)), (y2 - y1, x2 - x1))


def _part_inside(boxes: Tensor, region: Region) -> Tensor:
    """float32 [G], of each box's area; those without area have nothing inside."""
    return box_ops.coverage(boxes, boxes.new_tensor([region]))[:, 0]
