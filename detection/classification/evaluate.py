"""Measures the error of a classifier on a data set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from detection.classification.classifier import Classifier
from detection.classification.crops import Views
from detection.classification.images import LabelledImages
from detection.classification.loader import by_shape, view_loader
from detection.precision import Precision, autocast
from detection.structures import Metrics


def measure_error(
    classifiers: Sequence[Classifier],
    dataset: LabelledImages,
    views: Views,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    precision: Precision,
) -> Metrics:
    """The top-1 and top-5 error and the time per image, of one classifier or of an ensemble.

    ``error``, ``error_top5``: the fraction of images whose class does not have the best score, or
    is not among the five best; the latter only if there are more than five classes.
    The softmax scores of all views of an image, by all classifiers, are averaged (He et al. 2015,
    section 4.1: an ensemble of six has 3.57 % top-5 error).  All have the same classes in the same
    order.  Puts them into evaluation mode.
    """
    began = time.perf_counter()
    num_classes = classifiers[0].num_classes
    top = min(5, num_classes)
    first = within = done = 0
    for scores in class_scores(
        classifiers,
        dataset,
        views,
        batch_size=batch_size,
        workers=workers,
        device=device,
        precision=precision,
    ):
        classes = torch.from_numpy(dataset.classes[done : done + len(scores)]).to(device)
        right = scores.topk(top, dim=1).indices == classes[:, None]
        first += int(right[:, 0].sum())
        within += int(right.sum())
        done += len(scores)
    metrics: Metrics = {"error": 1 - first / done}
    if num_classes > 5:
        metrics["error_top5"] = 1 - within / done
    metrics["seconds_per_image"] = round((time.perf_counter() - began) / done, 5)
    return metrics


@torch.inference_mode()
def class_scores(
    classifiers: Sequence[Classifier],
    dataset: LabelledImages,
    views: Views,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    precision: Precision,
) -> Iterator[Tensor]:
    """The mean scores [n, num_classes] of ``batch_size`` images at a time, in order, on ``device``.

    See :func:`measure_error`.
    """
    for classifier in classifiers:
        classifier.eval()
    num_classes = classifiers[0].num_classes
    loader = view_loader(dataset, views, batch_size=batch_size, workers=workers)
    with tqdm(total=len(dataset), unit="img", desc="testing", leave=False) as bar:
        for images in loader:
            scores = torch.zeros(len(images), num_classes, device=device)
            for batch, numbers in by_shape(images):
                pixels = batch.to(device)
                with autocast(device, precision):
                    logits = [classifier.logits(pixels) for classifier in classifiers]
                probabilities = torch.stack(logits).float().softmax(dim=2).mean(dim=0)
                weight = torch.tensor([1 / _count_views(images[n]) for n in numbers], device=device)
                index = torch.tensor(numbers, device=device)
                scores.index_add_(0, index, probabilities * weight[:, None])
            yield scores
            bar.update(len(images))


def _count_views(views: list) -> int:
    return sum(len(view) for view in views)
