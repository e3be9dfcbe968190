"""Boxes for the classes of images, and their localisation errors (He et al. 2015, table 13)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from detection import boxes as box_ops
from detection.classification.crops import Image, Views
from detection.classification.place import Place
from detection.data.workers import in_order
from detection.evaluation.localization import Boxes, Truth
from detection.localization.choice import BoxChoice
from detection.localization.localizer import Localizer
from detection.localization.located_images import LocatedImages
from detection.precision import Precision, autocast

Viewed = tuple[list[Image], list[Place]]


@dataclass(frozen=True)
class Localized:
    """What was found in M images: ``classes`` int64 [M, K], ``boxes`` [M, K, 4], ``scores`` [M, K].

    The boxes are in pixels of images of the sizes that their annotations say.
    """

    classes: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float32]


class _LocatedViews(Dataset[Viewed]):
    def __init__(self, dataset: LocatedImages, views: Views) -> None:
        self.dataset = dataset
        self.views = views

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Viewed:
        image, _ = self.dataset.read(index)
        return self.views(image), self.views.places((image.shape[0], image.shape[1]))


@torch.inference_mode()
def localize(
    localizers: Sequence[Localizer],
    dataset: LocatedImages,
    classes: NDArray[np.int64],
    views: Views,
    choice: BoxChoice,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    precision: Precision,
) -> Localized:
    """A box for each of ``classes`` [M, K] of each image, in the numbering of the localizers.

    The boxes of all views, by all localizers, take part: see :class:`BoxChoice`.  Puts the
    localizers into evaluation mode.
    """
    for localizer in localizers:
        localizer.eval()
    boxes = np.empty((*classes.shape, 4), dtype=np.float32)
    scores = np.empty(classes.shape, dtype=np.float32)
    loader = in_order(_LocatedViews(dataset, views), batch_size=batch_size, workers=workers)
    done = 0
    with tqdm(total=len(dataset), unit="img", desc="localising", leave=False) as bar:
        for images in loader:
            asked = classes[done : done + len(images)]
            found = _candidates(localizers, images, asked, choice.candidates, device, precision)
            for number, (own_boxes, own_scores) in enumerate(found, start=done):
                size, annotated = images[number - done][1][0].image, dataset.examples[number].size
                y, x = annotated[0] / size[0], annotated[1] / size[1]
                for k in range(classes.shape[1]):
                    box, score = choice(own_boxes[k], own_scores[k])
                    scaled = box * torch.tensor((x, y, x, y), dtype=box.dtype)
                    # Clipped last: scaling and voting round, after which a box may leave its image.
                    boxes[number, k] = box_ops.clip(scaled, annotated).numpy()
                    scores[number, k] = float(score)
            done += len(images)
            bar.update(len(images))
    return Localized(classes, boxes, scores)


def truth_of(dataset: LocatedImages) -> Truth:
    """What the errors of ``dataset`` are measured against."""
    examples = dataset.examples
    return Truth(dataset.classes, [e.boxes for e in examples], [e.size for e in examples])


def _candidates(
    localizers: Sequence[Localizer],
    images: Sequence[Viewed],
    classes: NDArray[np.int64],
    most: int,
    device: torch.device,
    precision: Precision,
) -> list[tuple[Tensor, Tensor]]:
    """Of each image the boxes [K, T, 4], in its pixels, and scores [K, T], on the CPU."""
    boxes: list[list[Boxes]] = [[] for _ in images]
    scores: list[list[Tensor]] = [[] for _ in images]
    for pixels, where in _by_shape(images):
        asked = torch.from_numpy(classes[[number for number, _ in where]]).to(device)
        for localizer in localizers:
            with autocast(device, precision):
                found = localizer.predict(pixels.to(device), asked, most=most)
            in_views, of_views = found[0].float().cpu().numpy(), found[1].float().cpu()
            for (number, place), own, confidence in zip(where, in_views, of_views, strict=True):
                boxes[number].append(place.to_image(own))
                scores[number].append(confidence)
    return [
        (torch.from_numpy(np.concatenate(own, axis=1)), torch.cat(confidence, dim=1))
        for own, confidence in zip(boxes, scores, strict=True)
    ]


def _by_shape(images: Sequence[Viewed]) -> Iterator[tuple[Tensor, list[tuple[int, Place]]]]:
    """Views of one shape together: [n, h, w, 3], and of each its image's number and its place."""
    groups: dict[tuple[int, ...], tuple[list[Image], list[tuple[int, Place]]]] = {}
    for number, (views, places) in enumerate(images):
        remaining = iter(places)
        for view in views:
            arrays, where = groups.setdefault(view.shape[1:], ([], []))
            arrays.append(view)
            where += [(number, next(remaining)) for _ in view]
    for arrays, where in groups.values():
        yield torch.from_numpy(np.concatenate(arrays)), where
