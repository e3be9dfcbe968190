"""Mini-batches of a classifier; random numbers depend on (seed, epoch, image) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detection.classification.crops import Image, RandomCrop, Views
from detection.classification.images import LabelledImages
from detection.data.batch_plan import BatchPlan, Key
from detection.data.workers import Loader, by_plan, in_order, shared

B = TypeVar("B", covariant=True)


@dataclass(frozen=True)
class LabelledBatch:
    """``images``: uint8 [N, H, W, 3], BGR.  ``targets``: int64 [N], the classes."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def split(self, micro_batches: int) -> list[LabelledBatch]:
        """At most ``micro_batches`` batches, all but the last of one size."""
        size = -(-len(self) // micro_batches)
        pairs = zip(self.images.split(size), self.targets.split(size), strict=True)
        return [LabelledBatch(*pair) for pair in pairs]

    def to(self, device: torch.device) -> LabelledBatch:
        return LabelledBatch(
            self.images.to(device, non_blocking=True), self.targets.to(device, non_blocking=True)
        )

    def pin_memory(self) -> LabelledBatch:
        return LabelledBatch(self.images.pin_memory(), self.targets.pin_memory())


class Square(Protocol):
    """A crop, ``side`` pixels wide and high."""

    @property
    def side(self) -> int: ...


class CropSource(Protocol[B]):
    """Makes whole mini-batches of crops."""

    @property
    def crop(self) -> Square: ...

    def __len__(self) -> int: ...

    def __getitems__(self, keys: list[Key]) -> B: ...


class TrainingCrops(Dataset[LabelledBatch]):
    """Mini-batches of random crops; a key is (epoch, index of the image)."""

    def __init__(self, dataset: LabelledImages, *, crop: RandomCrop, seed: int) -> None:
        self.dataset = dataset
        self.crop = crop
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> LabelledBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: list[Key]) -> LabelledBatch:
        """A mini-batch; a DataLoader calls this method if it exists.  Writes each pixel once."""
        side = self.crop.side
        images = np.empty((len(keys), side, side, 3), dtype=np.uint8)
        for row, (epoch, index) in enumerate(keys):
            random = np.random.default_rng((self.seed, epoch, index))
            images[row] = self.crop(self.dataset.images[index], random)
        classes = self.dataset.classes[[index for _, index in keys]]
        return LabelledBatch(shared(torch.from_numpy(images)), torch.from_numpy(classes))


def crop_loader(
    crops: CropSource[B], plan: BatchPlan, *, workers: int, pin_memory: bool
) -> Loader[B]:
    """Mini-batches of crops: see :func:`detection.data.workers.by_plan`."""
    return by_plan(
        crops,
        plan,
        collate=_unchanged,
        batch_bytes=3 * crops.crop.side**2 * plan.batch_size // plan.world_size,
        workers=workers,
        pin_memory=pin_memory,
    )


class _TestViews(Dataset[list[Image]]):
    def __init__(self, dataset: LabelledImages, views: Views) -> None:
        self.dataset = dataset
        self.views = views

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> list[Image]:
        return self.views(self.dataset.images[index])


def view_loader(
    dataset: LabelledImages, views: Views, *, batch_size: int, workers: int
) -> Loader[list[list[Image]]]:
    """The views of ``batch_size`` images at a time, in order."""
    return in_order(_TestViews(dataset, views), batch_size=batch_size, workers=workers)


@dataclass(frozen=True)
class ViewBatches:
    """Mini-batches uint8 [N, h, w, 3] of all views of a data set; can be iterated over again."""

    loader: Loader[list[list[Image]]]

    def __iter__(self) -> Iterator[Tensor]:
        for images in self.loader:
            for batch, _ in by_shape(images):
                yield batch


def by_shape(images: Sequence[Sequence[Image]]) -> Iterator[tuple[Tensor, list[int]]]:
    """Groups the views by shape: ([n, h, w, 3], for each view the index of its image)."""
    groups: dict[tuple[int, ...], tuple[list[Image], list[int]]] = {}
    for number, views in enumerate(images):
        for view in views:
            arrays, numbers = groups.setdefault(view.shape[1:], ([], []))
            arrays.append(view)
            numbers += [number] * len(view)
    for arrays, numbers in groups.values():
        yield torch.from_numpy(np.concatenate(arrays)), numbers


def _unchanged(batch: Any) -> Any:
    return batch
