"""A detection data set: what every format is read into and what everything else works on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.data.class_words import classes_override
from detection.data.findings import Oddity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One image and its objects.

    ``image_id``: the id in the annotations, or 1, 2, ... in their order.
    ``size``: (height, width) in pixels.
    ``boxes``: float32 [G, 4] in pixels of the stored image, clipped to it.
    ``labels``: int64 [G], 1 ... C.
    ``crowd``, ``difficult``: bool [G].
    ``annotated``: float64 [G, 4], (x, y, width, height) as in the annotations, neither clipped nor
    rounded.  Detections are measured against these: a single box at the edge of an IoU threshold
    would change published numbers.
    ``areas``: float64 [G], COCO's ``area`` (of the mask, if there is one), which decides whether an
    object is small, medium or large.
    """

    image_id: int
    path: Path
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    annotated: NDArray[np.float64]
    areas: NDArray[np.float64]

    @property
    def has_area(self) -> NDArray[np.bool_]:
        """bool [G]: the objects whose box has an area; training leaves out the others.

        COCO has two boxes without height.  Detections are measured against those as well.
        """
        sides: NDArray[np.float32] = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.logical_and.reduce(sides > 0, axis=1)

    def ignored(self, *, crowd: bool, difficult: bool) -> NDArray[np.bool_]:
        """bool [G]: the objects that training ignores, where crowds and difficult ones are."""
        return (self.crowd & crowd) | (self.difficult & difficult)

    def keep(self, index: NDArray[Any]) -> Example:
        """The example with only the objects that ``index`` selects."""
        objects = ("boxes", "labels", "crowd", "difficult", "annotated", "areas")
        return replace(self, **{name: getattr(self, name)[index] for name in objects})


@dataclass(frozen=True)
class DetectionDataset:
    """``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to class ``label``.

    ``source``: the file or folder that the data was read from, for messages.
    ``annotated``: False for a test set whose annotations are not published.
    ``format``: the name of the format that it was read from.
    ``oddities``: what was repaired or left out while it was read.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    examples: list[Example] = field(repr=False)
    source: Path
    annotated: bool = True
    format: str = ""
    oddities: tuple[Oddity, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    @staticmethod
    def union(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
        """The images of several data sets as one data set (VOC's 07+12, COCO's trainval).

        Image ids are kept if they are all distinct; otherwise they become 1, 2, ... in order.
        Category ids are kept if all data sets have the same classes with the same ids; otherwise
        they become 1, 2, ... too.
        Raises ValueError if only some of the data sets are annotated.
        """
        first = datasets[0]
        names = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.class_names))
        ids = first.category_ids
        if any(d.class_names != names or d.category_ids != ids for d in datasets):
            ids = tuple(range(1, len(names) + 1))
            datasets = [dataset.with_class_names(names) for dataset in datasets]
        examples = [example for dataset in datasets for example in dataset.examples]
        if len({example.image_id for example in examples}) < len(examples):
            examples = [replace(e, image_id=number) for number, e in enumerate(examples, start=1)]
        annotated = {dataset.annotated for dataset in datasets}
        if len(annotated) > 1:
            sources = ", ".join(str(d.source) for d in datasets if not d.annotated)
            raise ValueError(
                f"{sources}: not annotated, the other splits are; a union of both is not possible: "
                "choose splits of one kind"
            )
        source = Path(" + ".join(str(dataset.source) for dataset in datasets))
        formats = " + ".join(dict.fromkeys(dataset.format for dataset in datasets))
        oddities = tuple(oddity for dataset in datasets for oddity in dataset.oddities)
        return DetectionDataset(names, ids, examples, source, annotated.pop(), formats, oddities)

    def select_classes(self, names: Sequence[str]) -> DetectionDataset:
        """The data set with only these classes, in this order; it keeps all images.

        Raises ValueError for an unknown class, one named twice, or none at all.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown or len(set(names)) != len(names) or not names:
            rule = (
                f"no class {', '.join(map(repr, unknown))} in this data set"
                if unknown
                else f"the classes to use must be named once each, got {list(names)}"
            )
            raise ValueError(f"{self.source}: {rule}; it has {', '.join(self.class_names)}")
        new_label = np.zeros(len(self.class_names) + 1, dtype=np.int64)
        for label, name in enumerate(names, start=1):
            new_label[self.class_names.index(name) + 1] = label
        examples = []
        for example in self.examples:
            labels = new_label[example.labels]
            examples.append(replace(example, labels=labels).keep(labels > 0))
        ids = tuple(self.category_ids[self.class_names.index(name)] for name in names)
        return replace(self, class_names=tuple(names), category_ids=ids, examples=examples)

    def without_empty(self) -> DetectionDataset:
        """The data set without the images that have no objects to learn, or only crowds.

        detectron2 trains this way.  As background such images are useful.
        """
        examples = [e for e in self.examples if bool((~e.crowd & e.has_area).any())]
        log.info(
            "%s: %d images without objects are left out of training",
            self.source,
            len(self.examples) - len(examples),
        )
        return replace(self, examples=examples)

    def with_class_names(self, names: Sequence[str]) -> DetectionDataset:
        """The data set with the labels of ``names`` (the classes of a checkpoint or training set).

        Raises ValueError if objects would be lost: an object whose class is not in ``names`` is an
        error; labels are never shifted silently.
        """
        if tuple(names) == self.class_names:
            return self
        known = [name for name in names if name in self.class_names]
        if not known and self.annotated:
            raise ValueError(
                f"{self.source}: no class in common: it has {', '.join(self.class_names)}; those "
                f"that are known are {', '.join(names)}: take a split or a detector of the same "
                "classes, or write their names alike"
            )
        present = {self.class_names[label - 1] for e in self.examples for label in e.labels}
        unknown = sorted(present - set(names))
        if unknown:
            raise ValueError(
                f"{self.source}: objects of {', '.join(unknown)}, which the model does not know "
                f"(it knows {', '.join(names)}); choose the classes to use with "
                f"{classes_override([n for n in self.class_names if n in names])}"
            )
        # A VOC test set without annotations does not say what its classes are.
        if not known:
            ids = tuple(range(1, len(names) + 1))
            return replace(self, class_names=tuple(names), category_ids=ids)
        return self.add_classes(names).select_classes(names)

    def add_classes(self, names: Sequence[str]) -> DetectionDataset:
        """The data set that has those of these classes, too, which it did not; without objects."""
        added = tuple(name for name in names if name not in self.class_names)
        free = max(self.category_ids, default=0) + 1
        return replace(
            self,
            class_names=self.class_names + added,
            category_ids=self.category_ids + tuple(range(free, free + len(added))),
        )

    def to_coco(self) -> dict[str, list[dict[str, Any]]]:
        """The ground truth in COCO's annotation format, as the metrics expect it."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for example in self.examples:
            height, width = example.size
            images.append(
                {
                    "id": example.image_id,
                    "file_name": example.path.name,
                    "height": height,
                    "width": width,
                }
            )
            for box, label, crowd, difficult, area in zip(
                example.annotated.tolist(),
                example.labels.tolist(),
                example.crowd.tolist(),
                example.difficult.tolist(),
                example.areas.tolist(),
                strict=True,
            ):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": example.image_id,
                        "category_id": self.category_ids[label - 1],
                        "bbox": box,
                        "area": area,
                        "iscrowd": int(crowd),
                        "difficult": int(difficult),
                    }
                )
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(self.category_ids, self.class_names, strict=True)
        ]
        return {"images": images, "annotations": annotations, "categories": categories}
