"""The two inputs of every evaluation: COCO's lists, checked once and turned into arrays.

``ground_truth`` is a dict in COCO's annotation format (https://cocodataset.org/#format-data)::

    {"images": [{"id", "file_name", "width", "height"}, ...],
     "annotations": [{"id", "image_id", "category_id", "bbox",
                      "area", "iscrowd", "difficult"}, ...],
     "categories": [{"id", "name"}, ...]}

``bbox`` is [x, y, width, height] in pixels with the continuous edges of :mod:`detection.boxes`, so
VOC's integers arrive converted.  ``iscrowd`` (COCO) and ``difficult`` (VOC) are 0 or 1.  Of an
annotation, ``area`` (by default width x height), ``iscrowd`` and ``difficult`` (by default 0) may
be absent.  Ids are any distinct integers, gaps included.

``detections`` is a sequence of COCO result records, in any order::

    {"image_id", "category_id", "bbox", "score"}

A score is any finite number, higher is surer.  Further keys are allowed and left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_DIVERGED = "a NaN here is usually a training that diverged"

GroundTruth: TypeAlias = Mapping[str, Any]
Detection: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Objects:
    """The ground truth: G objects of C classes in I images.

    Images and classes are numbered 0 ... in ascending order of their ids, the order in which COCO
    breaks ties between equal scores.

    ``class_names``: C names.  ``image_index``, ``class_index``: id -> number.
    ``images``, ``classes``: int64 [G], the numbers of each object's image and class.
    ``boxes``: float64 [G, 4], (x, y, width, height).  ``areas``: float64 [G], square pixels.
    ``crowd``, ``difficult``: bool [G].
    """

    class_names: list[str]
    image_index: dict[int, int]
    class_index: dict[int, int]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]

    def count(self) -> list[int]:
        """The number of objects of each class that have to be found: no crowd, not difficult."""
        counted = self.classes[~(self.crowd | self.difficult)]
        return np.bincount(counted, minlength=len(self.class_names)).tolist()


@dataclass(frozen=True)
class DetectionArrays:
    """N detections, in the order they came in; images and classes numbered as in `Objects`.

    ``images``, ``classes``: int64 [N].  ``boxes``: float64 [N, 4], (x, y, width, height).
    ``scores``: float64 [N].
    """

    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


def object_arrays(ground_truth: GroundTruth) -> Objects:
    """The ground truth as arrays.

    Raises ValueError, naming the entry, for a list or key that is missing, an id or class name
    that stands twice, an annotation of an unknown image or category, and an impossible box.
    """
    for name in ("images", "annotations", "categories"):
        if name not in ground_truth:
            raise ValueError(
                f"ground truth: the list {name!r} is missing, there is {sorted(ground_truth)}; "
                "give a dict in COCO's annotation format"
            )
    image_index = _numbered(ground_truth["images"], "images", ("id",))
    class_index = _numbered(ground_truth["categories"], "categories", ("id", "name"))
    names = {category["id"]: str(category["name"]) for category in ground_truth["categories"]}
    class_names = [names[class_id] for class_id in class_index]
    twice = {name for name in class_names if class_names.count(name) > 1}
    if twice:
        raise ValueError(
            f"ground truth: categories: class names must differ, {sorted(twice)} stand more than "
            "once; rename or merge these categories"
        )

    annotations = ground_truth["annotations"]
    required = ("image_id", "category_id", "bbox")
    for number, annotation in enumerate(annotations):
        problem = _problem(annotation, required, image_index, class_index)
        if problem is None and not _all_finite([annotation.get("area", 0)]):
            problem = f"area {annotation['area']!r} is not a finite number; correct or remove it"
        if problem:
            raise ValueError(f"ground truth: annotations[{number}]: {problem}")
    boxes = _boxes(annotations)
    areas = [a.get("area", w * h) for a, (w, h) in zip(annotations, boxes[:, 2:], strict=True)]
    return Objects(
        class_names=class_names,
        image_index=image_index,
        class_index=class_index,
        images=_integers([image_index[a["image_id"]] for a in annotations]),
        classes=_integers([class_index[a["category_id"]] for a in annotations]),
        boxes=boxes,
        areas=np.array(areas, dtype=np.float64),
        crowd=np.array([a.get("iscrowd", 0) for a in annotations], dtype=np.bool_),
        difficult=np.array([a.get("difficult", 0) for a in annotations], dtype=np.bool_),
    )


def detection_arrays(
    detections: Sequence[Detection], objects: Objects, where: str = "detections"
) -> DetectionArrays:
    """The detections as arrays.

    ``where`` is what an error calls the sequence, a file's path for instance.  Raises ValueError,
    naming the entry, for a missing key, an unknown image or category, an impossible box, and a
    score that is not a finite number.
    """
    required = ("image_id", "category_id", "bbox", "score")
    for number, detection in enumerate(detections):
        problem = _problem(detection, required, objects.image_index, objects.class_index)
        if problem is None and not _all_finite([detection["score"]]):
            score = detection["score"]
            hint = "write it without quotes" if isinstance(score, str) else _DIVERGED
            problem = f"score {score!r} is not a finite number; {hint}"
        if problem:
            raise ValueError(f"{where}[{number}]: {problem}")
    return DetectionArrays(
        images=_integers([objects.image_index[d["image_id"]] for d in detections]),
        classes=_integers([objects.class_index[d["category_id"]] for d in detections]),
        boxes=_boxes(detections),
        scores=np.array([d["score"] for d in detections], dtype=np.float64),
    )


def _numbered(
    entries: Sequence[Mapping[str, Any]], name: str, required: Collection[str]
) -> dict[int, int]:
    for number, entry in enumerate(entries):
        if not all(key in entry for key in required):
            raise ValueError(
                f"ground truth: {name}[{number}]: an entry needs the keys {', '.join(required)}, "
                f"this one is {entry!r}"
            )
    ids = [entry["id"] for entry in entries]
    index = {entry_id: number for number, entry_id in enumerate(sorted(ids))}
    if len(index) < len(ids):
        twice = sorted(entry_id for entry_id in index if ids.count(entry_id) > 1)
        raise ValueError(
            f"ground truth: {name}: ids must differ, {twice[:10]} stand more than once; "
            "give every entry its own id"
        )
    return index


def _problem(
    record: Mapping[str, Any],
    required: Collection[str],
    images: Mapping[int, int],
    classes: Mapping[int, int],
) -> str | None:
    """What is wrong with an annotation or a detection, its score aside; None if nothing is."""
    if not isinstance(record, Mapping) or not all(key in record for key in required):
        return f"an entry needs the keys {', '.join(required)}, this one is {record!r}"
    image_id, class_id, box = record["image_id"], record["category_id"], record["bbox"]
    if not isinstance(image_id, Hashable) or image_id not in images:
        return (
            f"image_id {image_id!r} is none of the ground truth's {len(images)} images; "
            "evaluate with the annotations of the images that were detected on"
        )
    if not isinstance(class_id, Hashable) or class_id not in classes:
        return (
            f"category_id {class_id!r} is none of the ground truth's {sorted(classes)}; "
            "use the data set's own category ids, not the network's labels"
        )
    if not _all_finite(box) or len(box) != 4 or box[2] < 0 or box[3] < 0:
        return (
            f"bbox {box!r} is not [x, y, width, height] in finite numbers with width and height "
            "of at least 0; correct or remove this entry"
        )
    return None


def _all_finite(numbers: Collection[Any]) -> bool:
    try:
        return all(map(isfinite, numbers))
    except TypeError:
        return False


def _boxes(records: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    # The shape has to be given for an empty list, which has none of its own.
    return np.array([r["bbox"] for r in records], dtype=np.float64).reshape(len(records), 4)


def _integers(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
