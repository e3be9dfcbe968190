"""Images with one class each: ImageNet's folders, and CIFAR-10's binary files.

The folders are as for torchvision's ImageFolder: ``root/<split>/<class>/*``.  For CIFAR-10 the
*binary version* is read (``data_batch_1.bin`` ... ``test_batch.bin``), which is plain bytes; the
Python version is pickles, which can run code when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detection.data.image import SUFFIXES, read_image

CIFAR_SIDE = 32
CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
CIFAR_TEST = ("test_batch.bin",)


class Images(Protocol):
    """A sequence of images uint8 [H, W, 3], BGR; for example an array [M, H, W, 3]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class ImageFiles:
    """Images that are read each time they are accessed."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        # Some of ImageNet's own JPEGs hold damaged bytes; published numbers count them.
        return read_image(self.paths[index], strict=False)


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes: ``class_names[classes[i]]`` is the class of ``images[i]``.

    ``classes``: int64 [M].  ``source``: the folder that the data was read from, for messages.
    """

    class_names: tuple[str, ...]
    classes: NDArray[np.int64]
    images: Images = field(repr=False)
    source: Path

    def __len__(self) -> int:
        return len(self.classes)

    def report(self) -> str:
        return f"{self.source}: {len(self)} images of {len(self.class_names)} classes"

    def with_class_names(self, names: Sequence[str]) -> LabelledImages:
        """The same images, with classes numbered as in ``names`` (of a training set or checkpoint).

        Raises ValueError for a class that is not in ``names``.
        """
        unknown = sorted(set(self.class_names) - set(names))
        if unknown:
            raise ValueError(
                f"{self.source}: classes {', '.join(unknown)}, which the training set or model "
                f"does not have (it has {', '.join(names[:20])}{' ...' if len(names) > 20 else ''})"
            )
        index = {name: i for i, name in enumerate(names)}
        new = np.array([index[name] for name in self.class_names], dtype=np.int64)
        return replace(self, class_names=tuple(names), classes=new[self.classes])

    def in_memory(self) -> LabelledImages:
        """The same with all images decoded into one uint8 array, for small images of one size."""
        if isinstance(self.images, np.ndarray):
            return self
        if not len(self):
            raise ValueError(f"{self.source}: no images")
        first = self.images[0]
        array = np.empty((len(self), *first.shape), dtype=np.uint8)

        def decode(index: int) -> None:
            image = self.images[index]
            if image.shape != first.shape:
                raise ValueError(
                    f"{self.source}: images of {first.shape[1]}x{first.shape[0]} and of "
                    f"{image.shape[1]}x{image.shape[0]}; only images of one size are kept in "
                    "memory: set data.in_memory=false"
                )
            array[index] = image

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(decode, range(len(self))):
                pass
        return replace(self, images=array)

    def every(self, count: int | None) -> LabelledImages:
        """About ``count`` of the images, evenly spread; None: all of them."""
        if count is None or count >= len(self):
            return self
        index = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        return self._only(index)

    def divided(self, held_out: int) -> tuple[LabelledImages, LabelledImages]:
        """All but ``held_out`` of the images, and those; drawn once and for all.

        Section 4.2 of He et al. 2015 holds 5,000 of CIFAR-10's 50,000 out to choose the rates.
        """
        if not 0 < held_out < len(self):
            raise ValueError(
                f"data.held_out={held_out}: must be less than the {len(self)} training images"
            )
        order = np.random.default_rng(0).permutation(len(self))
        first, second = (self._only(np.sort(o)) for o in (order[held_out:], order[:held_out]))
        return first, second

    def _only(self, index: NDArray[np.int64]) -> LabelledImages:
        in_memory = isinstance(self.images, np.ndarray)
        images = self.images[index] if in_memory else _Subset(self.images, index)  # type: ignore[index]
        return replace(self, classes=self.classes[index], images=images)

    def shard(self, rank: int, world_size: int) -> LabelledImages:
        """Every ``world_size``-th image, from number ``rank`` on."""
        if world_size == 1:
            return self
        index = np.arange(rank, len(self), world_size)
        return replace(self, classes=self.classes[index], images=_Subset(self.images, index))


@dataclass(frozen=True)
class _Subset:
    images: Images
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.images[int(self.index[index])]


def open_labelled(*, root: Path, split: str, in_memory: bool, images: int | None) -> LabelledImages:
    """``root/<split>/<class>/*``, or CIFAR-10's binary files in ``root`` or the folder inside it.

    ``split``: for CIFAR-10 ``train`` or ``test``.
    ``in_memory``: decode all images now.
    ``images``: use about this number of them, evenly spread; None: all.
    Raises FileNotFoundError or ValueError if ``root`` is neither.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    for folder in (root, root / "cifar-10-batches-bin"):
        if (folder / CIFAR_TRAIN[0]).is_file() or (folder / CIFAR_TEST[0]).is_file():
            return read_cifar10(folder, split=split).every(images)
        if (folder / CIFAR_TRAIN[0]).with_suffix("").is_file():
            raise ValueError(
                f"{folder}: CIFAR-10's Python version, which is pickles; use the binary version "
                f"({CIFAR_TRAIN[0]} ...) or folders of images, {split}/<class>/*.png"
            )
    dataset = read_image_folder(root, split=split).every(images)
    return dataset.in_memory() if in_memory else dataset


def read_image_folder(root: Path, *, split: str) -> LabelledImages:
    """``root/<split>/<class>/*``; the classes are in alphabetical order."""
    folder = root / split
    if not folder.is_dir():
        there = ", ".join(_folders(root)) or "no folders"
        raise FileNotFoundError(
            f"{folder}: no such folder; {root} holds {there}: expected <split>/<class>/*.jpg"
        )
    class_names = _folders(folder)
    paths: list[Path] = []
    classes: list[int] = []
    for label, name in enumerate(class_names):
        files = [f for f in (folder / name).rglob("*") if f.suffix.lower() in SUFFIXES]
        if not files:
            raise ValueError(f"{folder / name}: no images ({', '.join(SUFFIXES)}) of this class")
        paths += sorted(files)
        classes += [label] * len(files)
    if not paths:
        raise ValueError(f"{folder}: no class folders; expected <split>/<class>/*.jpg")
    return LabelledImages(
        tuple(class_names), np.array(classes, dtype=np.int64), ImageFiles(paths), folder
    )


def read_cifar10(folder: Path, *, split: str) -> LabelledImages:
    """CIFAR-10's binary version: each record is 1 byte for the class, 3 x 32 x 32 for R, G, B."""
    files = {"train": CIFAR_TRAIN, "test": CIFAR_TEST}.get(split)
    if files is None:
        raise ValueError(f"{folder}: CIFAR-10 has the splits train and test, not {split!r}")
    names = (folder / "batches.meta.txt").read_text(encoding="utf-8").split()
    records = np.concatenate(list(_cifar_records(folder, files)))
    classes = records[:, 0].astype(np.int64)
    if classes.max() >= len(names):
        raise ValueError(
            f"{folder}: class {classes.max()} in the records, {len(names)} names in "
            "batches.meta.txt; download the files again"
        )
    planes = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    images = np.ascontiguousarray(planes[:, ::-1].transpose(0, 2, 3, 1))  # RGB planes -> BGR
    return LabelledImages(tuple(names), classes, images, folder / split)


def _cifar_records(folder: Path, files: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
    size = 1 + 3 * CIFAR_SIDE**2
    for name in files:
        data = (folder / name).read_bytes()
        if not data or len(data) % size:
            raise ValueError(
                f"{folder / name}: {len(data)} bytes are not a whole number of records of {size}; "
                "download the file again"
            )
        yield np.frombuffer(data, dtype=np.uint8).reshape(-1, size)


def _folders(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
