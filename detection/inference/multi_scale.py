"""Multi-scale testing (He et al. 2015, appendix B; Ren et al. 2015, "Object Detection Networks on
Convolutional Feature Maps": maxout of two scales).

The features of several scales of an image are computed; a region is pooled from the two adjacent
scales between which its area passes 224 x 224 pixels, the size that the network was pre-trained
on, and the two results are merged by their element-wise maximum.  Proposals are of the base scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detection import boxes as box_ops
from detection.data.transforms import Resize
from detection.inference.steps import MultiScaleStep, RegionClassifier, Sizes
from detection.model.faster_rcnn import FasterRCNN, whole_images
from detection.model.region_cache import in_chunks

Pooling = Callable[[Tensor], Tensor]  # boxes [R, 4] in one image at one scale -> [R, ...]


@dataclass(frozen=True, kw_only=True)
class MultiScale:
    """Multi-scale testing with maxout.

    ``shorter_sides``: the scales in pixels, ascending; none: the base scale alone.
    ``longest``: at no scale is the longer side longer than this, in pixels.
    ``region_side``: a region takes the two scales between which its area passes this squared (224).
    ``maximum``: what the element-wise maximum is taken of.  "region_features": the features after
    conv5 and its average pooling, as in the paper ("RoI pooling and subsequent layers are performed
    on the feature maps of these two scales, which are merged by maxout").  "pooled": the pooled
    features before conv5, which then runs once and costs half the time.
    """

    shorter_sides: Sequence[int]
    longest: int
    region_side: float
    maximum: Literal["region_features", "pooled"]

    def __post_init__(self) -> None:
        sides = list(self.shorter_sides)
        if len(sides) == 1 or sides != sorted(set(sides)) or (sides and sides[0] < 1):
            raise ValueError(
                "multi_scale.shorter_sides must be two lengths or more in ascending order, or "
                f"none, got {sides}"
            )
        if self.maximum not in ("region_features", "pooled"):
            raise ValueError(
                f"multi_scale.maximum must be region_features or pooled, got {self.maximum!r}"
            )

    def resized(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """uint8 [H, W, 3] -> the same at each of the scales, ascending."""
        resize = Resize(shorter_sides=self.shorter_sides, longest=self.longest)
        return [resize(image, shorter) for shorter in self.shorter_sides]

    def classifier(
        self,
        model: FasterRCNN,
        maps: Sequence[Tensor],
        map_sizes: Sequence[Sizes],
        base_sizes: Sizes,
    ) -> RegionClassifier:
        """Classifies boxes in the base scale's pixels with the feature ``maps`` of all scales.

        ``maps``: [N, C, h, w] for each scale, ascending.  ``map_sizes``: (height, width) of the N
        images at each scale; ``base_sizes``: at the base scale.
        """
        per_scale = [_poolings(model, features, self.maximum) for features in maps]
        poolings = list(zip(*per_scale, strict=True))  # of each image, one for each scale
        sizes = list(zip(*map_sizes, strict=True))

        def region_features(boxes: list[Tensor]) -> Tensor:
            found = []
            for image in zip(poolings, sizes, boxes, base_sizes, strict=True):
                found += _image_features(model, *image, self)
            return torch.cat(found)

        # The whole image is a region like any other: it, too, is seen at two scales.
        context = region_features(whole_images(maps[0], base_sizes)) if model.has_context else None
        return lambda boxes: model.classify_region_features(
            region_features(boxes), boxes, base_sizes, context
        )


@dataclass(frozen=True)
class Preparation:
    """What is done to an image before the network; cheap to send to other processes."""

    resize: Resize
    multi_scale: MultiScaleStep

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """uint8 [H, W, 3] -> the same at the base scale, then at each of the others."""
        base = self.resize(image, self.resize.shorter_sides[0])
        return [base, *self.multi_scale.resized(image)]


def lower_scale(
    boxes: Tensor,
    size: tuple[int, int],
    scaled_sizes: Sequence[tuple[int, int]],
    region_side: float,
) -> Tensor:
    """int64 [R]: the lower one of the two adjacent scales that each region is pooled from.

    The largest scale at which its area is at most ``region_side``^2, and more at the next.  Regions
    that are larger at every scale take the two smallest scales, regions that are smaller at every
    scale the two largest.  ``boxes``: [R, 4] in an image of ``size``.
    """
    areas = torch.stack([box_ops.area(box_ops.rescale(boxes, size, to)) for to in scaled_sizes])
    below = (areas <= region_side**2).sum(dim=0)
    return (below - 1).clamp(0, len(scaled_sizes) - 2)


def _poolings(
    model: FasterRCNN, features: Tensor, maximum: Literal["region_features", "pooled"]
) -> list[Pooling]:
    """For each image of one scale: boxes in its pixels -> that of which the maximum is taken."""
    if maximum == "region_features":
        return [model.region_cache(image[None]) for image in features]
    return [partial(_pooled, model, image[None]) for image in features]


def _pooled(model: FasterRCNN, features: Tensor, boxes: Tensor) -> Tensor:
    return model.pool(features, [boxes])


def _image_features(
    model: FasterRCNN,
    poolings: Sequence[Pooling],
    sizes: Sequence[tuple[int, int]],
    boxes: Tensor,
    base_size: tuple[int, int],
    rule: MultiScale,
) -> list[Tensor]:
    """The features of the regions [R, 4] of one image, in chunks [r, region_channels]."""
    if rule.maximum == "region_features":
        return [_maxout(poolings, sizes, boxes, base_size, rule.region_side)]
    found = []
    for chunk in in_chunks(boxes, regions_at_once=model.regions_at_once):
        pooled = _maxout(poolings, sizes, chunk, base_size, rule.region_side)
        pooled = pooled.contiguous(memory_format=torch.channels_last)
        found.append(model.backbone.region_features(pooled))
    return found


def _maxout(
    poolings: Sequence[Pooling],
    sizes: Sequence[tuple[int, int]],
    boxes: Tensor,
    base_size: tuple[int, int],
    region_side: float,
) -> Tensor:
    """[R, ...] of the regions of one image, each from two of the ``poolings``, one for a scale."""
    lower = lower_scale(boxes, base_size, sizes, region_side)
    merged: Tensor | None = None
    for scale, (pool, size) in enumerate(zip(poolings, sizes, strict=True)):
        (here,) = ((lower == scale) | (lower + 1 == scale)).nonzero(as_tuple=True)
        found = pool(box_ops.rescale(boxes[here], base_size, size))
        if merged is None:
            merged = found.new_full((len(boxes), *found.shape[1:]), -torch.inf)
        merged[here] = torch.maximum(merged[here], found)
    assert merged is not None
    return merged
