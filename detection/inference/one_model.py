"""One model of a detector, at all scales and perhaps mirrored: its proposals and its classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from detection.inference.ensemble import mean_classifier
from detection.inference.flip import mirror, upright_classifier
from detection.inference.steps import MultiScaleStep, RegionClassifier
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, Proposals


@dataclass(frozen=True)
class ModelOutput:
    """What one model makes of a mini-batch: ``proposals`` of each image, and its ``classify``.

    There are no ``proposals`` where others are given.
    """

    proposals: list[Proposals]
    classify: RegionClassifier


def run_model(
    model: FasterRCNN,
    scales: Sequence[ImageBatch],
    *,
    multi_scale: MultiScaleStep,
    flip: bool,
    propose: bool,
) -> ModelOutput:
    """One model's proposals, from the base scale as it is, and its ``classify``.

    ``scales``: the base scale first.  All features are computed here.
    """
    base, *others = scales
    features, proposals = model.propose(base) if propose else (None, [])
    classifiers = [_classifier(model, multi_scale, base, others, features)]
    if flip:
        flipped, *flipped_others = [mirror(batch) for batch in scales]
        classify_mirrored = _classifier(model, multi_scale, flipped, flipped_others)
        classifiers.append(upright_classifier(classify_mirrored, base.sizes))
    return ModelOutput(proposals, mean_classifier(classifiers))


def _classifier(
    model: FasterRCNN,
    multi_scale: MultiScaleStep,
    base: ImageBatch,
    others: Sequence[ImageBatch],
    features: Tensor | None = None,
) -> RegionClassifier:
    """Classifies regions on the base scale or, where there are ``others``, on those.

    ``features``: of the base scale, if they have been computed.  They also serve for a scale
    that equals the base scale.
    """
    if others:
        maps = [
            features
            if features is not None and batch.sizes == base.sizes
            else model.features(batch)
            for batch in others
        ]
        map_sizes = [batch.sizes for batch in others]
        return multi_scale.classifier(model, maps, map_sizes, base.sizes)
    return model.classifier(model.features(base) if features is None else features, base.sizes)
