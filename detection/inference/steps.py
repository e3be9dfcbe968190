"""The steps of inference (He et al. 2015, appendix B), each of which another class can replace.

Any package may bring a class for a step; a configuration names it in full::

    inference.refinement._target_=theirs.Step  inference.post_processing._target_=theirs.SoftNMS

Such a class needs the methods below and nothing else.  Ours are
:class:`detection.inference.multi_scale.MultiScale`, :class:`detection.inference.refine.Refinement`
and :class:`detection.inference.post_processing.PostProcessing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import Detections, RegionPredictions

Sizes = list[tuple[int, int]]  # (height, width) of each image, in pixels

# The boxes float32 [R, 4] of the regions of each image -> what the head says of them.  The features
# were computed before and are not computed again.  Boxes are in pixels of the base scale.
RegionClassifier = Callable[[list[Tensor]], list[RegionPredictions]]


@runtime_checkable
class MultiScaleStep(Protocol):
    """``inference.multi_scale``: the scales besides the base scale, and what is made of them.

    The base scale is that of the proposals and of all boxes.
    """

    def resized(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """uint8 [H, W, 3] -> the same at each scale; none: regions are seen at the base scale.

        It may run in another process, so the step must be one that can be pickled.  An image of
        the base scale's size is taken to be the image at the base scale, whose features are there.
        """
        ...

    def classifier(
        self,
        model: FasterRCNN,
        maps: Sequence[Tensor],
        map_sizes: Sequence[Sizes],
        base_sizes: Sizes,
    ) -> RegionClassifier:
        """Classifies regions with the features of all scales.  Called only where there are some.

        ``maps``: features [N, C, h, w] for each scale, in the order of :meth:`resized`.
        ``map_sizes``: the sizes of the N images at each scale; ``base_sizes``: at the base scale.
        """
        ...


@runtime_checkable
class RefinementStep(Protocol):
    """``inference.refinement``: what follows the classification of the proposals."""

    def __call__(
        self, predictions: list[RegionPredictions], classify: RegionClassifier
    ) -> list[RegionPredictions]:
        """The predictions for each image -> those that post-processing gets.

        ``classify`` may be called any number of times; each call costs a head pass.
        """
        ...


@runtime_checkable
class PostProcessingStep(Protocol):
    """``inference.post_processing``: region predictions -> detections."""

    def __call__(self, predictions: RegionPredictions) -> Detections:
        """The detections of one image, best first, in the pixels of ``predictions``.

        Boxes may leave the image, for example by rounding: they are clipped afterwards.
        """
        ...


def check_step(step: object, protocol: type, *, key: str) -> None:
    """Raises ValueError unless ``step`` fits ``protocol``; ``key``: of the configuration."""
    # A class has the methods of its objects, but is none of them.
    if isinstance(step, type) or not isinstance(step, protocol):
        raise ValueError(
            f"{key} must be a {protocol.__name__}, got {step!r}: name its class in {key}._target_; "
            f"detection/inference/steps.py says which methods a {protocol.__name__} has"
        )


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The steps of appendix B that a trained model is used with.

    A step can be of any class that has the methods in this file.
    ``flip``: whether the predictions are averaged with those of the mirror image.
    Raises ValueError for a step without these methods.
    """

    multi_scale: MultiScaleStep
    flip: bool
    refinement: RefinementStep
    post_processing: PostProcessingStep

    def __post_init__(self) -> None:
        check_step(self.multi_scale, MultiScaleStep, key="inference.multi_scale")
        check_step(self.refinement, RefinementStep, key="inference.refinement")
        check_step(self.post_processing, PostProcessingStep, key="inference.post_processing")
