"""Mini-batches for training: which images, in which order, read by which process.

Random numbers depend on (seed, epoch, image) alone, not on what a process has done before; what a
mini-batch has in common, its plan says.
Therefore workers need no seeds, a resumed run sees the same images as an uninterrupted one, and the
number of workers changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from detection.data.batch_plan import BatchPlan, Key
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.data.proposals_file import ProposalsFile
from detection.data.repeat_factors import classes_shown
from detection.data.transforms import Augmentation, Drawn, to_batch_pixels
from detection.data.workers import Loader, by_plan, shared
from detection.structures import ImageBatch, Target


@dataclass(frozen=True)
class Batch:
    """The images of a mini-batch and the target of each."""

    images: ImageBatch
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.targets)

    def split(self, micro_batches: int) -> list[Batch]:
        """At most ``micro_batches`` batches, all but the last of one size; the padding stays."""
        size = -(-len(self.targets) // micro_batches)
        return [
            Batch(
                ImageBatch(self.images.pixels[i : i + size], self.images.sizes[i : i + size]),
                self.targets[i : i + size],
            )
            for i in range(0, len(self.targets), size)
        ]

    def to(self, device: torch.device) -> Batch:
        return Batch(self.images.to(device), [target.to(device) for target in self.targets])

    def pin_memory(self) -> Batch:
        return Batch(self.images.pin_memory(), [target.pin_memory() for target in self.targets])


class TrainingImages(Dataset[tuple[np.ndarray, Target]]):
    """A key of :class:`BatchPlan` -> the augmented image, uint8 [H, W, 3], and its target.

    ``ignore_crowd``, ``ignore_difficult``: whether such objects are ignored in training.
    ``proposals``: if Fast R-CNN learns from a file of them; they are augmented as the objects are.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        *,
        augmentation: Augmentation,
        ignore_crowd: bool,
        ignore_difficult: bool,
        seed: int,
        proposals: ProposalsFile | None = None,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.ignore_crowd = ignore_crowd
        self.ignore_difficult = ignore_difficult
        self.seed = seed
        self.proposals = proposals

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, Target]:
        example = self.dataset.examples[key[1]]
        image = read_image(example.path)
        check_size(image, example)
        return self.augmentation(image, self._target(key), self._random(key), *key[2:])

    def classes_shown(self) -> NDArray[np.bool_]:
        """[N, C]: of which classes each image shows an object that is learnt."""
        return classes_shown(
            self.dataset, ignore_crowd=self.ignore_crowd, ignore_difficult=self.ignore_difficult
        )

    def drawn(self, key: Key) -> Drawn:
        """How the image is augmented."""
        size = self.dataset.examples[key[1]].size
        return self.augmentation.draw(size, self._target(key), self._random(key), *key[2:])

    def shapes(self) -> list[tuple[tuple[int, int], ...]] | None:
        """Of each image, its sizes at all scales: those with equal ones have one size always.

        None: no two images are to be of one size.
        """
        if self.augmentation.size_step is None:
            return None
        sides, size_at = self.augmentation.resize.shorter_sides, self.augmentation.size
        return [tuple(size_at(e.size, side) for side in sides) for e in self.dataset.examples]

    def _target(self, key: Key) -> Target:
        """In pixels of the stored image."""
        epoch, index = key[:2]
        example = self.dataset.examples[index]
        learnt = example.keep(example.has_area)
        ignored = learnt.ignored(crowd=self.ignore_crowd, difficult=self.ignore_difficult)
        return Target(
            boxes=torch.from_numpy(learnt.boxes),
            labels=torch.from_numpy(learnt.labels),
            ignored=torch.from_numpy(ignored),
            proposals=self.proposals.read(example).boxes if self.proposals else None,
            seed=seed_of_draws((self.seed, epoch, index)),
        )

    def _random(self, key: Key) -> np.random.Generator:
        """What an image is augmented with."""
        return np.random.default_rng((self.seed, *key[:2]))


def seed_of_draws(numbers: tuple[int, int, int]) -> int:
    """The seed of an image's anchors and regions, even and below 2^63: each use adds less than 2.

    The image is augmented with the same numbers, so a word is added to them.
    """
    state = np.random.SeedSequence((*numbers, 1)).generate_state(1, dtype=np.uint64)
    return int(state[0] >> 1) & ~1


def check_size(image: np.ndarray, example: Example) -> None:
    """Raises ValueError if the picture does not have the size that its annotation says."""
    if image.shape[:2] != example.size:
        height, width = example.size
        raise ValueError(
            f"{example.path}: the image is {image.shape[1]}x{image.shape[0]} (upright), its "
            f"annotation says {width}x{height}; the boxes would be misplaced: correct the "
            "annotation, or save the image without EXIF orientation if it was annotated as stored"
        )


def training_loader(
    images: TrainingImages, plan: BatchPlan, *, workers: int, pin_memory: bool
) -> Loader[Batch]:
    """Mini-batches of pictures: see :func:`detection.data.workers.by_plan`."""
    return by_plan(
        images,
        plan,
        collate=_collate,
        batch_bytes=_bytes(images, plan),
        workers=workers,
        pin_memory=pin_memory,
    )


def _bytes(images: TrainingImages, plan: BatchPlan) -> int:
    """Of the largest mini-batch that one process gets of images of one orientation."""
    sizes = np.array([example.size for example in images.dataset.examples], dtype=np.float64)
    resize = images.augmentation.resize
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    scale = np.minimum(max(resize.shorter_sides) / shorter, resize.longest / longer)
    scaled = sizes * scale[:, None] + (images.augmentation.size_step or 0) / 2
    groups = [scaled[plan.landscape], scaled[~plan.landscape]]
    area = max(group.max(axis=0).prod() for group in groups if len(group))
    return int(3 * area * plan.batch_size / plan.world_size)


def _collate(items: list[tuple[np.ndarray, Target]]) -> Batch:
    images = [image for image, _ in items]
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    pixels = shared(to_batch_pixels(images))
    return Batch(ImageBatch(pixels, sizes), [target for _, target in items])
