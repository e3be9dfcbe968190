"""What a training step consumes: its pictures, and the anchors and regions that it samples.

The network runs as in training, and what its own sampling answers is written down: nothing here
knows how anchors or regions are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from detection.data.loader import Batch
from detection.model.faster_rcnn import FasterRCNN
from detection.model.targets import (
    AnchorLabels,
    AnchorSampling,
    AnchorTargets,
    RegionSampling,
    RegionTargets,
)
from detection.precision import Precision, autocast
from detection.structures import ImageBatch, Target


@dataclass(frozen=True)
class SampledAnchors:
    """``anchors``: [B, 4], all of a picture; ``labels``: what they are; ``learnt``: the sample."""

    anchors: Tensor
    labels: AnchorLabels
    learnt: AnchorTargets


@dataclass(frozen=True)
class ConsumedPicture:
    """One picture of a mini-batch.

    ``pixels``: uint8 [H, W, 3], BGR, with the padding that the network gets.
    ``size``: (height, width) without padding.
    ``anchors``, ``regions``: None where they were not asked for, or the network samples none.
    """

    pixels: Tensor
    size: tuple[int, int]
    target: Target
    anchors: SampledAnchors | None = None
    regions: RegionTargets | None = None


@dataclass(frozen=True, kw_only=True)
class _RecordedAnchors(AnchorSampling):
    """Answers as the sampling that it stands for.  ``by_seed``: the answers, by the target's."""

    by_seed: dict[int | None, SampledAnchors] = field(default_factory=dict)

    def targets(self, anchors: Tensor, target: Target, size: tuple[int, int]) -> AnchorTargets:
        learnt = super().targets(anchors, target, size)
        labels = self.labels(anchors, target, size)
        self.by_seed[target.seed] = SampledAnchors(anchors, labels, learnt)
        return learnt


@dataclass(frozen=True, kw_only=True)
class _RecordedRegions(RegionSampling):
    by_seed: dict[int | None, RegionTargets] = field(default_factory=dict)

    def targets(
        self, proposals: Tensor, target: Target, box_weights: tuple[float, float, float, float]
    ) -> RegionTargets:
        self.by_seed[target.seed] = super().targets(proposals, target, box_weights)
        return self.by_seed[target.seed]


def consumed(
    network: nn.Module,
    model: FasterRCNN,
    batch: Batch,
    *,
    accumulate: int,
    device: torch.device,
    precision: Precision,
    samples: bool,
) -> list[ConsumedPicture]:
    """The pictures of ``batch``, in its order, as a step of ``network`` on ``device`` has them.

    ``network``: ``model``, or one of its two networks, in training mode on the device.
    ``accumulate``: into how many parts a step divides the batch.
    ``samples``: whether anchors and regions are wanted, for which the network runs.
    """
    parts = batch.to(device).split(accumulate)
    seen = {
        target.seed: (pixels, size)
        for part in parts
        for group, targets in model.groups(part.images, part.targets)
        for pixels, size, target in zip(_as_given(model, group), group.sizes, targets, strict=True)
    }
    anchors: dict[int | None, SampledAnchors] = {}
    regions: dict[int | None, RegionTargets] = {}
    if samples:
        with _recorded(model) as (anchors, regions), torch.no_grad():
            for part in parts:
                with autocast(device, precision):
                    network(part.images, part.targets)
    return [
        ConsumedPicture(
            *seen[target.seed], target, anchors.get(target.seed), regions.get(target.seed)
        )
        for part in parts
        for target in part.targets
    ]


@torch.no_grad()
def _as_given(model: FasterRCNN, images: ImageBatch) -> Sequence[Tensor]:
    """What the network gets, as pixels again."""
    pixels = model.pixels(images)
    restore = getattr(model.pixels, "restore", None)
    return list(images.pixels if restore is None else restore(pixels))


@contextmanager
def _recorded(
    model: FasterRCNN,
) -> Iterator[tuple[dict[int | None, SampledAnchors], dict[int | None, RegionTargets]]]:
    """The samples of ``model``'s two networks; those of classes of one's own are not seen."""
    anchors: dict[int | None, SampledAnchors] = {}
    regions: dict[int | None, RegionTargets] = {}
    rpn, head = model.rpn, model.roi_head
    of_rpn, of_head = getattr(rpn, "sampling", None), getattr(head, "sampling", None)
    try:
        if type(of_rpn) is AnchorSampling:
            rpn.sampling = _RecordedAnchors(**vars(of_rpn), by_seed=anchors)
        if type(of_head) is RegionSampling:
            head.sampling = _RecordedRegions(**vars(of_head), by_seed=regions)  # type: ignore[attr-defined]
        yield anchors, regions
    finally:
        if type(of_rpn) is AnchorSampling:
            rpn.sampling = of_rpn
        if type(of_head) is RegionSampling:
            head.sampling = of_head  # type: ignore[attr-defined]
