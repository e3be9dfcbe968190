"""What was measured on: counts, and how large and how many the objects of a picture are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset
from detection.report.content import DataFacts, Histogram

# The first edges of the histograms; each further one doubles.
SIDES = (0, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
PER_PICTURE = (0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31, 51, 101)


def data_facts(dataset: DetectionDataset, split: str) -> DataFacts:
    """``split``: its name, for people."""
    examples = dataset.examples
    counts = np.array([len(example.labels) for example in examples])
    boxes = [np.prod(example.annotated[:, 2:], axis=1) for example in examples]
    areas = np.concatenate(boxes) if boxes else np.zeros(0)
    return DataFacts(
        source=str(dataset.source),
        split=split,
        images=len(examples),
        empty=int((counts == 0).sum()),
        objects=int(counts.sum()),
        crowds=sum(int(example.crowd.sum()) for example in examples),
        difficult=sum(int(example.difficult.sum()) for example in examples),
        sides=histogram(np.sqrt(areas), SIDES),
        per_picture=histogram(counts, PER_PICTURE),
        oddities=[str(oddity) for oddity in dataset.oddities],
    )


def histogram(values: NDArray[np.generic], edges: Sequence[float]) -> Histogram:
    """``edges``: the first ones, of which no more are taken than the values need.

    Beyond them each further one is twice the one before.
    """
    most = float(values.max()) if len(values) else 0.0
    taken = [float(edges[0])]
    following = iter(edges[1:])
    while taken[-1] <= most or len(taken) < 2:
        taken.append(float(next(following, 2 * taken[-1])))
    counts, _ = np.histogram(values, taken)
    return Histogram(edges=taken, counts=counts.tolist())
