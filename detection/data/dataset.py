"""A data set for detection as every reader gives it and everything else takes it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

InvalidBoxes = Literal["error", "repair"]

# Annotation tools round: a box may stick out of its image by this many pixels and is cut silently.
TOLERANCE = 1.0


@dataclass(frozen=True)
class Example:
    """One image and its objects.

    ``image_id``: as in the annotations, or a number given in order.  ``size``: (height, width).
    ``boxes``: float32 [G, 4] in pixels of the image as stored, cut to it.  ``labels``: int64 [G],
    1 ... C.
    ``crowd``, ``difficult``: bool [G].
    ``annotated``: float64 [G, 4], (x, y, width, height) as annotated, neither cut nor rounded: what
    detections are measured against, for one box at the edge of a threshold changes the published
    numbers.  ``areas``: float64 [G], COCO's ``area`` (of the mask where there is one), which
    decides what is small, medium and large.
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
        """bool [G]: the objects that there is a box of to learn from.

        COCO has two of no height.  They are objects like the others where detections are measured.
        """
        sides: NDArray[np.float32] = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.logical_and.reduce(sides > 0, axis=1)

    def keep(self, index: NDArray[Any]) -> Example:
        """The example with only the objects that ``index`` picks."""
        objects = ("boxes", "labels", "crowd", "difficult", "annotated", "areas")
        return replace(self, **{name: getattr(self, name)[index] for name in objects})


@dataclass(frozen=True)
class DetectionDataset:
    """``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to class ``label``.

    ``source``: what the data was read from, for messages.
    ``annotated``: False for a test set whose objects are not published.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    examples: list[Example] = field(repr=False)
    source: Path
    annotated: bool = True

    def __len__(self) -> int:
        return len(self.examples)

    @staticmethod
    def union(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
        """All images of several data sets as one (VOC's 07+12, COCO's trainval).

        Image ids are kept where they are distinct, else 1, 2, ... in order; so are category ids,
        and labels, where the classes are the same.
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
            raise ValueError(f"{sources}: without annotations; it makes no union with others")
        source = Path(" + ".join(str(dataset.source) for dataset in datasets))
        return DetectionDataset(names, ids, examples, source, annotated.pop())

    def select_classes(self, names: Sequence[str]) -> DetectionDataset:
        """The data set with only these classes, in this order; every image stays."""
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
        """The data set without the images that show nothing, or crowds alone, of its classes.

        detectron2 trains so; as background such images are worth keeping.
        """
        examples = [e for e in self.examples if bool((~e.crowd & e.has_area).any())]
        log.info(
            "%s: %d images without objects are left out of training",
            self.source,
            len(self.examples) - len(examples),
        )
        return replace(self, examples=examples)

    def with_class_names(self, names: Sequence[str]) -> DetectionDataset:
        """The data set under another one's labels (a checkpoint's, the training set's).

        Raises ValueError if objects would be lost: a class that ``names`` does not have is an
        error, never a shift of the labels.
        """
        present = {self.class_names[label - 1] for e in self.examples for label in e.labels}
        unknown = sorted(present - set(names))
        if unknown:
            raise ValueError(
                f"{self.source}: objects of {', '.join(unknown)}, which the model does not know "
                f"(it knows {', '.join(names)}); choose the classes to use with "
                f"data.classes=[{','.join(n for n in self.class_names if n in names)}]"
            )
        known = [name for name in names if name in self.class_names]
        if not (known or self.annotated):  # a VOC test set does not say what its classes are
            ids = tuple(range(1, len(names) + 1))
            return replace(self, class_names=tuple(names), category_ids=ids)
        if not known:
            raise ValueError(
                f"{self.source}: no class in common: the data set has "
                f"{', '.join(self.class_names)}; the model knows {', '.join(names)}"
            )
        free = iter(range(max(self.category_ids) + 1, max(self.category_ids) + 1 + len(names)))
        own_ids = dict(zip(self.class_names, self.category_ids, strict=True))
        padded = replace(
            self,
            class_names=self.class_names + tuple(n for n in names if n not in own_ids),
            category_ids=self.category_ids + tuple(next(free) for n in names if n not in own_ids),
        )
        return padded.select_classes(names)

    def to_coco(self) -> dict[str, list[dict[str, Any]]]:
        """The ground truth in COCO's annotation format, as the metrics take it."""
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

    def report(self) -> str:
        """What was read, in a few lines: counts, classes with their labels, what is unusual."""
        counts = Counter(int(label) for e in self.examples for label in e.labels)
        empty = sum(len(e.labels) == 0 for e in self.examples)
        crowd = sum(int(e.crowd.sum()) for e in self.examples)
        difficult = sum(int(e.difficult.sum()) for e in self.examples)
        lines = [
            f"{self.source}: {len(self.examples)} images "
            + (f"({empty} without objects), " if self.annotated else "(not annotated), ")
            + f"{sum(counts.values())} objects ({crowd} crowd, {difficult} difficult), "
            f"{len(self.class_names)} classes",
            "  label (id) class: objects   "
            + ",  ".join(
                f"{label} ({category_id}) {name}: {counts[label]}"
                for label, (name, category_id) in enumerate(
                    zip(self.class_names, self.category_ids, strict=True), start=1
                )
            ),
        ]
        return "\n".join(lines)


class BoxCheck:
    """Checks every box of a data set while it is read, and says all that is wrong at once.

    ``on_invalid``: "error" raises after reading; "repair" cuts boxes to their image, drops those
    that are no boxes at all, and reports how many.
    """

    shown = 10

    def __init__(self, *, source: Path, on_invalid: InvalidBoxes) -> None:
        if on_invalid not in ("error", "repair"):
            raise ValueError(f"data.invalid_boxes must be error or repair, got {on_invalid!r}")
        self.source = source
        self.on_invalid = on_invalid
        self.problems: list[str] = []

    def __call__(
        self, boxes: NDArray[np.float32], size: tuple[int, int], names: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Boxes [G, 4] cut to an image of (height, width), and bool [G]: those that are kept.

        Those that have no area, or none within the image, are kept: see ``Example.has_area``.

        ``names``: where each box stands, for the message.
        """
        height, width = size
        limit = np.array((width, height, width, height), dtype=np.float32)
        finite = np.logical_and.reduce(np.isfinite(boxes), axis=1)
        beyond = (boxes < -TOLERANCE) | (boxes > limit + TOLERANCE)
        outside = np.logical_or.reduce(beyond, axis=1)
        cut = np.clip(np.nan_to_num(boxes), 0, limit)
        empty = np.logical_or.reduce(cut[:, 2:] - cut[:, :2] <= 0, axis=1)
        for index in np.flatnonzero(~finite | outside | empty).tolist():
            rule = (
                "is not finite"
                if not finite[index]
                else "has x2 <= x1 or y2 <= y1"
                if (boxes[index, 2:] <= boxes[index, :2]).any()
                else f"lies outside the {width}x{height} image"
            )
            x1, y1, x2, y2 = (f"{value:g}" for value in boxes[index])
            self.problems.append(f"{names[index]}: box ({x1}, {y1}, {x2}, {y2}) {rule}")
        boxes_at_all = finite & np.logical_and.reduce(boxes[:, 2:] >= boxes[:, :2], axis=1)
        return cut, boxes_at_all if self.on_invalid == "repair" else np.ones_like(finite)

    def finish(self) -> None:
        """Raises ValueError, or reports, once everything has been read."""
        if not self.problems:
            return
        shown = "\n  ".join(self.problems[: self.shown])
        more = len(self.problems) - self.shown
        message = (
            f"{self.source}: {len(self.problems)} invalid boxes (x1, y1, x2, y2):\n  {shown}"
            + (f"\n  ... and {more} more" if more > 0 else "")
        )
        if self.on_invalid == "error":
            raise ValueError(
                f"{message}\nMend the annotations, or let data.invalid_boxes=repair cut boxes to "
                "their image and train without those that have no area then; detections are "
                "measured against all boxes as annotated"
            )
        log.warning("%s\n(cut to the image; without area: not trained on)", message)
