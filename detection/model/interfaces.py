"""What a backbone and a RoI head must offer, so that the detector can be built on those of others.

The configuration names a class of any package that can be imported, and gives its arguments:

    model.backbone._target_=theirpackage.TheirBackbone model.backbone.depth=4
    model.roi_head._target_=theirpackage.TheirHead

A head gets the arguments of RoIHead, and those that ``+model.roi_head.name=value`` adds.

Nothing in ``detection`` reads an attribute of a backbone or of a head that is not listed here, but
for a backbone's ``stride_in_1x1``: see :mod:`detection.weights.input_format`.  It may be missing.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from torch import Tensor, nn

from detection.model.rpn import RPN
from detection.model.targets import RegionTargets
from detection.structures import RegionPredictions, Target


class Backbone(Protocol):
    """A ``torch.nn.Module`` in two parts: shared layers, and layers that run for each region.

    ResNet and VGG16 are examples.

    ``stride``: pixels of the image per cell of the shared features, along each side.
    ``bin_step``: 1; or 2 if the per-region layers read only every second row and column of the
    pooled bins.  The other bins are then not computed.
    ``feature_channels``: channels of the shared features.
    ``region_channels``: length of the feature of a region.
    ``region_layers``: names of the submodules that run for each region.  All other parameters are
    shared between the RPN and Fast R-CNN, and can be fixed in 4-step training.
    """

    stride: int
    bin_step: int
    feature_channels: int
    region_channels: int
    region_layers: tuple[str, ...]

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> the shared features [N, feature_channels, h, w]."""

    def region_features(self, pooled: Tensor) -> Tensor:
        """Pooled features [R, feature_channels, bins, bins] -> [R, region_channels]; R may be 0."""


class Head(Protocol):
    """A ``torch.nn.Module`` that learns from regions and predicts their classes and boxes.

    RoIHead is the example.  Shapes: R regions, C classes, P proposals.

    ``num_classes``: C.
    ``class_layers``: names of the submodules whose parameters depend on the classes.  A detector
    that starts from one of other classes does not take these over.
    ``pooling``, ``pooled_size``: how regions are pooled, and to how many bins per side.
    """

    num_classes: int
    class_layers: tuple[str, ...]
    pooling: Literal["roi_pool", "roi_align"]
    pooled_size: int

    def __call__(self, region_features: Tensor) -> tuple[Tensor, Tensor]:
        """[R, in_channels] -> class logits [R, C + 1] and deltas [R, C, 4], float32."""

    def subsample(self, proposals: Tensor, target: Target) -> RegionTargets:
        """The regions of one image that are learnt from, out of its proposals [P, 4]."""

    def losses(
        self, logits: Tensor, deltas: Tensor, targets: list[RegionTargets]
    ) -> tuple[Tensor, Tensor]:
        """(class loss, box loss), scalars; the regions of all images one after the other."""

    def predictions(
        self, logits: Tensor, deltas: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> RegionPredictions:
        """Of the regions ``boxes`` [R, 4] of one image of ``size`` = (height, width)."""


class RPNFactory(Protocol):
    """The RPN without what follows from the backbone."""

    def __call__(self, *, in_channels: int) -> RPN: ...


class HeadFactory(Protocol):
    """The head without what follows from the backbone and from the data set."""

    def __call__(self, *, in_channels: int, num_classes: int) -> Head: ...


def check_interface(given: Any, interface: type, *, key: str) -> None:
    """Raises ValueError that names what ``given`` does not offer of :class:`Backbone` or Head.

    ``key``: where the configuration chooses ``given``.
    """
    name = f"{type(given).__module__}.{type(given).__qualname__}"
    if not isinstance(given, nn.Module):
        raise ValueError(f"{key} must be a torch.nn.Module, got {name}")
    methods = (member for member, value in vars(interface).items() if callable(value))
    offers = [*interface.__annotations__, *methods]
    missing = [m for m in offers if not m.startswith("_") and not hasattr(given, m)]
    if missing:
        raise ValueError(
            f"{key}: {name} lacks {', '.join(missing)}; what it must offer is listed in "
            f"{interface.__module__}.{interface.__name__}"
        )
