"""How sure an AP is, or a difference of two: a bootstrap over the images.

Efron & Tibshirani 1993; of two it is paired.

Two sets of detections on the same ground truth are measured on the same thousand data sets, each of
them drawn from the images with replacement; the spread of the differences is the interval.

An image drawn twice counts twice.  Detections are matched to objects within their image, so
matching need not be repeated: a resampled data set is a weight for each image, and AP a weighted
count over the matches.  (hotcoco.compare takes several times as long for the same.)  Where
detections of one image and class have equal scores, all copies of the first come before all copies
of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import hotcoco
import numpy as np
from numpy.typing import NDArray

from detection.evaluation.coco_ap import ALL, IOU50, IOU75, coco_datasets, counted_by_coco
from detection.evaluation.coco_arrays import (
    Detection,
    GroundTruth,
    detection_arrays,
    object_arrays,
)
from detection.evaluation.interval import Interval

RECALL_LEVELS = np.linspace(0, 1, 101)  # as COCO's
# Numbers in one array of (resampled data sets x detections): 32 MB.
CHUNK = 4_000_000


class BootstrapSettings(TypedDict):  # arguments of `compare` and `estimate`
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Comparison:
    """Of two sets of detections, the second minus the first."""

    AP: Interval
    AP50: Interval

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Estimate:
    """``value``: on the data set itself; the others as in :class:`Interval`.  All in [0, 1]."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} ... {100 * self.high:.1f})"


@dataclass(frozen=True)
class Estimates:
    """Of one set of detections."""

    AP: Estimate
    AP50: Estimate
    AP75: Estimate


@dataclass(frozen=True)
class _ClassMatches:
    """One class: its N detections, highest score first, and its objects.

    ``images``: [N], the number of each detection's image.
    ``correct``, ``ignored``: for each IoU threshold the positions of the detections that found an
    object, and of those that count neither way.
    ``objects``: [I], how many objects each image has to be found.
    """

    images: NDArray[np.int64]
    correct: list[NDArray[np.int64]]
    ignored: list[NDArray[np.int64]]
    objects: NDArray[np.int64]


def compare(
    ground_truth: GroundTruth,
    first: Sequence[Detection],
    second: Sequence[Detection],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    """The differences of COCO's AP and AP50, ``second`` minus ``first``, with their intervals.

    The inputs are as :mod:`detection.evaluation.coco_arrays` says.
    ``confidence``: for example 0.95.  Equal seeds draw equal data sets, whatever the detections.
    Raises ValueError for inputs that are not as described, or no object to be found.
    """
    weights = _weights(ground_truth, resamples=resamples, confidence=confidence, seed=seed)
    numbers = [
        _average_precisions(list(_matches(ground_truth, detections)), weights)
        for detections in (first, second)
    ]
    differences = numbers[1] - numbers[0]  # [1 + resamples, 10]
    return Comparison(
        AP=Interval.of(differences.mean(axis=1), confidence),
        AP50=Interval.of(differences[:, IOU50], confidence),
    )


def estimate(
    ground_truth: GroundTruth,
    detections: Sequence[Detection],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Estimates:
    """COCO's AP, AP50 and AP75 with their intervals; the arguments are as those of `compare`."""
    weights = _weights(ground_truth, resamples=resamples, confidence=confidence, seed=seed)
    numbers = _average_precisions(list(_matches(ground_truth, detections)), weights)
    found = [
        Interval.of(each, confidence)
        for each in (numbers.mean(axis=1), numbers[:, IOU50], numbers[:, IOU75])
    ]
    return Estimates(*(Estimate(one.difference, one.low, one.high) for one in found))


def _weights(
    ground_truth: GroundTruth, *, resamples: int, confidence: float, seed: int
) -> NDArray[np.int64]:
    """[1 + resamples, I]: how often each image is in the data set itself, and in those drawn."""
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"resamples must be at least 1 and confidence lie in (0, 1), got {resamples} and "
            f"{confidence}"
        )
    num_images = len(ground_truth["images"])
    if not sum(object_arrays(ground_truth).count()):
        raise ValueError("ground truth: there is no object to be found, so there is no AP")
    draws = np.random.default_rng(seed).multinomial(
        num_images, np.full(num_images, 1 / num_images), size=resamples
    )
    # The data set itself comes first: a weight of one for each image.
    return np.concatenate((np.ones((1, num_images), dtype=draws.dtype), draws))


def _matches(ground_truth: GroundTruth, detections: Sequence[Detection]) -> Iterator[_ClassMatches]:
    """COCO's matching of every image, class by class; classes without objects are left out."""
    objects = object_arrays(ground_truth)
    wanted, found = coco_datasets(objects, counted_by_coco(detection_arrays(detections, objects)))
    evaluation = hotcoco.COCOeval(hotcoco.COCO(wanted), hotcoco.COCO(found), "bbox")
    params = evaluation.params
    params.area_rng, params.area_rng_lbl = [params.area_rng[ALL]], [params.area_rng_lbl[ALL]]
    evaluation.params = params
    evaluation.evaluate()
    by_class: dict[int, list[dict[str, Any]]] = {}
    for image in evaluation.eval_imgs:
        if image is not None:
            by_class.setdefault(image["category_id"], []).append(image)
    for images in by_class.values():
        matches = _class_matches(images, len(objects.image_index))
        if matches.objects.any():
            yield matches


def _class_matches(evaluated: list[dict[str, Any]], num_images: int) -> _ClassMatches:
    # Ties between equal scores are broken by the order of the images, as in COCO's code.
    evaluated = sorted(evaluated, key=lambda image: image["image_id"])
    numbers = [image["image_id"] - 1 for image in evaluated]
    counts = [len(image["dtScores"]) for image in evaluated]
    scores = np.concatenate([np.array(image["dtScores"], np.float64) for image in evaluated])
    order = np.argsort(-scores, kind="stable")
    matched, ignored = (
        np.concatenate(
            [np.array(image[key], np.bool_).reshape(10, -1) for image in evaluated], axis=1
        )[:, order]
        for key in ("dtMatched", "dtIgnore")
    )
    objects = np.zeros(num_images, dtype=np.int64)
    objects[numbers] = [sum(image["gtInDenominator"]) for image in evaluated]
    return _ClassMatches(
        images=np.repeat(np.array(numbers, dtype=np.int64), counts)[order],
        correct=[np.flatnonzero(row) for row in matched & ~ignored],
        ignored=[np.flatnonzero(row) for row in ignored],
        objects=objects,
    )


def _average_precisions(
    classes: list[_ClassMatches], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """``weights``: [B, I], of the images in B data sets -> [B, 10], the mean over the classes."""
    sums, present = np.zeros((len(weights), 10)), np.zeros((len(weights), 1))
    for one in classes:
        size = max(1, CHUNK // max(1, len(one.images)))
        for start in range(0, len(weights), size):
            rows = slice(start, start + size)
            objects = weights[rows] @ one.objects  # [b]
            sums[rows] += _class_average_precisions(one, weights[rows], objects)
            present[rows, 0] += objects > 0
    return np.divide(sums, present, out=np.full_like(sums, np.nan), where=present > 0)


def _class_average_precisions(
    one: _ClassMatches, weights: NDArray[np.int64], objects: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[b, 10]; 0 for a data set without objects of the class."""
    counts = weights[:, one.images]  # [b, N], how often each detection's image was chosen
    counted = counts.cumsum(axis=1)
    found = np.zeros((len(weights), 10))
    for threshold, (correct, ignored) in enumerate(zip(one.correct, one.ignored, strict=True)):
        # Precision is highest at correct detections: only these positions are looked at.
        positives = counts[:, correct].cumsum(axis=1)
        ignored_before = np.searchsorted(ignored, correct)
        ignored_sum = np.pad(counts[:, ignored].cumsum(axis=1), ((0, 0), (1, 0)))[:, ignored_before]
        seen = counted[:, correct] - ignored_sum
        precision = positives / np.maximum(seen, 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = positives / np.maximum(objects, 1)[:, None]
        # A detection reaches the levels up to its recall that none before it reached.
        reached = np.searchsorted(RECALL_LEVELS, recall, side="right")
        found[:, threshold] = (np.diff(reached, axis=1, prepend=0) * best).sum(axis=1)
    return found / len(RECALL_LEVELS)
