"""How often pictures are drawn so that rare classes are seen.

"LVIS: A Dataset for Large Vocabulary Instance Segmentation", Gupta et al. 2019, appendix
B.2 of its second version: repeat factor sampling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset


def classes_shown(
    dataset: DetectionDataset, *, ignore_crowd: bool, ignore_difficult: bool
) -> NDArray[np.bool_]:
    """[N, C]: whether picture n shows an object of class c that is learnt."""
    shown = np.zeros((len(dataset), len(dataset.class_names)), np.bool_)
    for row, example in zip(shown, dataset.examples, strict=True):
        ignored = example.ignored(crowd=ignore_crowd, difficult=ignore_difficult)
        row[example.labels[example.has_area & ~ignored] - 1] = True
    return shown


def repeat_factors(shown: NDArray[np.bool_], threshold: float) -> NDArray[np.float64]:
    """[N], each at least 1: how often each picture is drawn where one of common classes is once.

    ``shown``: [N, C].  A class that a part f of the pictures show, f below ``threshold``, asks for
    sqrt(threshold / f); a picture is drawn as often as the rarest of its classes asks for.
    """
    part = np.maximum(shown.mean(axis=0), 1 / max(len(shown), 1))
    asked = np.maximum(1.0, np.sqrt(threshold / part))
    return np.asarray(np.where(shown, asked, 1.0).max(axis=1, initial=1.0), np.float64)
