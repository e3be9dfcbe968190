"""Mini-batches for training: which images, in which order, read by which process.

Randomness is a function of (seed, epoch, image), never of the history of a process: workers need
no seeding, a resumed run sees what the uninterrupted one would have seen, and the number of
workers changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.data.proposals_file import ProposalsFile
from detection.data.transforms import Augmentation, to_batch_pixels
from detection.structures import ImageBatch, Target


@dataclass(frozen=True)
class Batch:
    images: ImageBatch
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.targets)

    def split(self, parts: int) -> list[Batch]:
        """At most ``parts`` batches of as many images each as can be; padding stays as it is."""
        size = -(-len(self.targets) // parts)
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


Key = tuple[int, int]  # (epoch, index of the example)


class BatchPlan(Sampler[list[Key]]):
    """The mini-batches of a whole training, of images of alike shape (landscape or portrait).

    Batches of one orientation need the least padding.  ``batch_size`` images per iteration over
    all ``world_size`` processes; process ``rank`` takes every ``world_size``-th of them.
    ``start``: the iteration to begin at, when training is resumed.
    """

    def __init__(
        self,
        *,
        landscape: Sequence[bool],
        batch_size: int,
        iterations: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(landscape) < batch_size:
            raise ValueError(
                f"a mini-batch of {batch_size} images needs as many in the training set, which has "
                f"{len(landscape)}; set schedule.batch_size lower"
            )
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of the number of processes, "
                f"{world_size}"
            )
        self.landscape = np.asarray(landscape, dtype=bool)
        self.batch_size = batch_size
        self.iterations = iterations
        self.seed = seed
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.iterations - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, batches = -1, np.empty((0, self.batch_size), dtype=np.int64)
        for iteration in range(self.start, self.iterations):
            if iteration // self.batches_per_epoch != epoch:
                epoch = iteration // self.batches_per_epoch
                batches = self._epoch(epoch)
            batch = batches[iteration % self.batches_per_epoch]
            yield [(epoch, int(index)) for index in batch[self.rank :: self.world_size]]

    @property
    def batches_per_epoch(self) -> int:
        """The last few images of a shuffled epoch that fill no mini-batch are left out."""
        return len(self.landscape) // self.batch_size

    def _epoch(self, epoch: int) -> np.ndarray:
        """[batches_per_epoch, batch_size] indices."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.landscape))
        groups = [order[self.landscape[order]], order[~self.landscape[order]]]
        whole = [len(group) // self.batch_size * self.batch_size for group in groups]
        # What is left of both orientations makes up the few mixed batches.
        rest = np.concatenate([group[n:] for group, n in zip(groups, whole, strict=True)])
        parts = [group[:n] for group, n in zip(groups, whole, strict=True)]
        parts.append(rest[: len(rest) // self.batch_size * self.batch_size])
        return random.permutation(np.concatenate(parts).reshape(-1, self.batch_size))


class TrainingImages(Dataset[tuple[np.ndarray, Target]]):
    """(epoch, index) -> the augmented image, uint8 [H, W, 3], and its target.

    ``proposals``: where Fast R-CNN learns on them; they are augmented like the objects.
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
        epoch, index = key
        example = self.dataset.examples[index]
        image = read_image(example.path)
        check_size(image, example)
        learnt = example.keep(example.has_area)
        ignored = (learnt.crowd & self.ignore_crowd) | (learnt.difficult & self.ignore_difficult)
        target = Target(
            boxes=torch.from_numpy(learnt.boxes),
            labels=torch.from_numpy(learnt.labels),
            ignored=torch.from_numpy(ignored),
            proposals=self.proposals.read(example).boxes if self.proposals else None,
        )
        random = np.random.default_rng((self.seed, epoch, index))
        return self.augmentation(image, target, random)


def check_size(image: np.ndarray, example: Example) -> None:
    """Raises ValueError where the picture is not of the size that the annotations speak of."""
    if image.shape[:2] != example.size:
        height, width = example.size
        raise ValueError(
            f"{example.path}: the image is {image.shape[1]}x{image.shape[0]} (upright), its "
            f"annotation says {width}x{height}; the boxes would be misplaced: mend the annotation, "
            "or save the image without EXIF orientation if it was annotated as stored"
        )


def training_loader(
    images: TrainingImages, plan: BatchPlan, *, workers: int, pin_memory: bool
) -> DataLoader[Batch]:
    """Mini-batches in the order of ``plan``, read by ``workers`` processes (0: by this one)."""
    return DataLoader(
        images,  # type: ignore[arg-type]
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        worker_init_fn=single_threaded,
        prefetch_factor=4 if workers else None,
    )


def single_threaded(worker: int) -> None:
    """For a worker process: OpenCV's threads would fight the network for the cores."""
    cv2.setNumThreads(0)


def _collate(items: list[tuple[np.ndarray, Target]]) -> Batch:
    images = [image for image, _ in items]
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    return Batch(ImageBatch(to_batch_pixels(images), sizes), [target for _, target in items])
