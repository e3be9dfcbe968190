"""Ensembles (He et al. 2015, appendix B): several classifiers of the same regions as one.

All models' proposals are put together, every model's per-region layers classify all of them, and
the probabilities and the boxes are averaged; what follows is as for one model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detection.inference.steps import RegionClassifier
from detection.structures import Proposals, RegionPredictions


def union_of_proposals(proposals: Sequence[list[Proposals]]) -> list[Tensor]:
    """Each model's proposals of each image -> the boxes [R, 4] of each image, model by model."""
    return [
        torch.cat([one_model.boxes for one_model in image])
        for image in zip(*proposals, strict=True)
    ]


def mean_classifier(classifiers: Sequence[RegionClassifier]) -> RegionClassifier:
    """A classifier whose probabilities and boxes are the means of those of ``classifiers``."""
    if len(classifiers) == 1:
        return classifiers[0]

    def classify(boxes: list[Tensor]) -> list[RegionPredictions]:
        found = [classifier(boxes) for classifier in classifiers]
        return [_mean(image) for image in zip(*found, strict=True)]

    return classify


def _mean(views: Sequence[RegionPredictions]) -> RegionPredictions:
    return RegionPredictions(
        probabilities=torch.stack([view.probabilities for view in views]).mean(dim=0),
        boxes=torch.stack([view.boxes for view in views]).mean(dim=0),
    )
