"""What is said of a split's boxes: of each by itself, and of all together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from detection.data.audit.remarks import Remarks
from detection.data.dataset import DetectionDataset, Example

# From this number of boxes on something is said of how all of them are.
MANY = 10
# Of pictures: the part that is most of them, and the number that is no chance.
_MOST, _FEW = 0.9, 5
# A box that covers so much of its picture is the label of a whole picture.
_WHOLE = 0.95
# The correlation of a box's place with its size from which on the "size" is another corner: of
# true sizes it is below 0, as what begins further right has less room.
_CORRELATED = 0.6


def audit_boxes(split: str, dataset: DetectionDataset, remarks: Remarks) -> None:
    """``dataset`` as it is read; refused boxes are not in it."""
    if not dataset.annotated:
        return
    examples = dataset.examples
    total = sum(len(e.labels) for e in examples)
    if not total:
        remarks.add("no-boxes", split, f"{len(examples)} pictures without objects")
        return
    crowd = np.concatenate([e.crowd for e in examples])
    difficult = np.concatenate([e.difficult for e in examples])
    for rule, flags in (("all-crowd", crowd), ("all-difficult", difficult)):
        if flags.all():
            remarks.add(rule, split, f"{total} boxes")
    if not (crowd | difficult).all():
        labels = np.concatenate([e.labels for e in examples])
        _audit_ignored(split, dataset.class_names, labels, crowd, difficult, remarks)
    for example in examples:
        _audit_one(split, example, dataset.class_names, remarks)
    _audit_all(split, dataset, np.concatenate([e.annotated for e in examples]), remarks)


def _audit_ignored(
    split: str,
    names: tuple[str, ...],
    labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    difficult: NDArray[np.bool_],
    remarks: Remarks,
) -> None:
    """Of the boxes, [G] each: the classes most of whose boxes teach and measure nothing."""
    for label, name in enumerate(names, start=1):
        of_class = labels == label
        total, ignored = int(of_class.sum()), int((crowd | difficult)[of_class].sum())
        if 2 * ignored > total:
            both = f"{int(crowd[of_class].sum())} crowd, {int(difficult[of_class].sum())} difficult"
            remarks.add("mostly-ignored", split, f"{name}, {ignored} of {total} boxes ({both})")


def _audit_one(split: str, example: Example, names: tuple[str, ...], remarks: Remarks) -> None:
    sides = example.annotated[:, 2:]
    for index in np.flatnonzero((sides <= 1).any(axis=1) & (sides > 0).all(axis=1)).tolist():
        remarks.add("one-pixel", split, _place(example, index, names))
    for index in np.flatnonzero(~(example.areas > 0) & (sides > 0).all(axis=1)).tolist():
        place = _place(example, index, names)
        remarks.add("no-area", split, f"{place}, area {example.areas[index]:g}")
    for index, is_same_class in repeated(example):
        rule = "same-box" if is_same_class else "two-classes"
        remarks.add(rule, split, _place(example, index, names))


def repeated(example: Example) -> Iterator[tuple[int, bool]]:
    """(index, whether the class is the same too) of each box that an earlier one is like."""
    seen: dict[tuple[float, ...], set[int]] = {}
    for index, (box, label) in enumerate(
        zip(example.annotated.tolist(), example.labels.tolist(), strict=True)
    ):
        labels = seen.setdefault(tuple(box), set())
        if labels:
            yield index, label in labels
        labels.add(label)


def _place(example: Example, index: int, names: tuple[str, ...]) -> str:
    x, y, width, height = (f"{side:g}" for side in example.annotated[index])
    return (
        f"{example.path.name}, {names[example.labels[index] - 1]} at ({x}, {y}), {width} x {height}"
    )


def _audit_all(
    split: str, dataset: DetectionDataset, boxes: NDArray[np.float64], remarks: Remarks
) -> None:
    """``boxes``: [G, 4], (x, y, width, height) as annotated."""
    shares = [
        e.annotated[:, 2:].prod(axis=1) / (e.size[0] * e.size[1])
        for e in dataset.examples
        if len(e.labels)
    ]
    whole = sum(bool((own >= _WHOLE).all()) for own in shares)
    if whole >= max(_MOST * len(shares), _FEW):
        remarks.add("whole-picture", split, f"in {whole} of {len(shares)} pictures with objects")
    if len(boxes) < MANY:
        return
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    if dataset.format.startswith("VOC"):
        corners[:, :2] += 1  # as its files have them, whose first pixel is 1
    if (np.mod(corners, 1) == 0.5).all():
        remarks.add("half-pixels", split, f"all {len(boxes)} boxes")
    if _are_corners(boxes):
        x, y, width, height = (f"{side:g}" for side in boxes[0])
        remarks.add(
            "corners",
            split,
            f"in all {len(boxes)} boxes width and height grow with x and y and are above them, "
            f"the first is [{x}, {y}, {width}, {height}]",
        )


def are_meant_otherwise(dataset: DetectionDataset) -> bool:
    """Whether all boxes are corners, or parts of the size, where pixels and sizes belong."""
    boxes = np.concatenate([np.zeros((0, 4)), *(e.annotated for e in dataset.examples)])
    if not len(boxes):
        return False
    are_parts = bool(boxes.max() <= 1 and (boxes != np.round(boxes)).any())
    return are_parts or (len(boxes) >= MANY and _are_corners(boxes))


def _are_corners(boxes: NDArray[np.float64]) -> bool:
    """Whether what is read as width and height is the second corner, by all boxes together."""
    start, size = boxes[:, :2], boxes[:, 2:]
    if not (size > start).all() or (start.std(axis=0) == 0).any() or (size.std(axis=0) == 0).any():
        return False
    correlations = [np.corrcoef(start[:, axis], size[:, axis])[0, 1] for axis in (0, 1)]
    return min(correlations) > _CORRELATED
