"""What is said of a split's boxes: of each by itself, and of all together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.audit.remarks import Remarks
from detection.data.dataset import DetectionDataset, Example

# From this number of boxes on something is said of how all of them are.
MANY = 10
# Of pictures: the part that is most of them, and the number that is no chance.
_MOST, _FEW = 0.9, 5
# A box that covers so much of its picture is the label of a whole picture.
_WHOLE = 0.95
# The correlation of a box's place with its size, as parts of the picture, from which on the "size"
# is another corner: of true sizes it is below 0, as what begins further right has less room.
_CORRELATED = 0.6
# Places of all boxes that differ by less than this part of the picture say nothing of them.
_FIXED = 1e-3
# The part of the boxes over the border from which on the "size" is another corner, within it.
_OVER = 0.2
# Of areas: how much of its box an object may fill (masks' borders count whole pixels), and must.
_MOST_FILLED, _LEAST_FILLED = 1.2, 0.001
# The IoU from which on two boxes of one class are one object, most likely.
_ALIKE = 0.95


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
    for index in _nearly_repeated(example):
        remarks.add("like-box", split, _place(example, index, names))
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


def _nearly_repeated(example: Example) -> list[int]:
    """Indices of the boxes that overlap an earlier one of their class nearly wholly."""
    order = np.argsort(example.boxes[:, 0], kind="stable")
    boxes, labels = example.boxes[order].astype(np.float64), example.labels[order]
    widths = boxes[:, 2] - boxes[:, 0]
    found: set[int] = set()
    # So alike are only boxes whose left edges are closer than that part of a width.
    last = np.searchsorted(boxes[:, 0], boxes[:, 0] + (1 - _ALIKE) * widths, side="right")
    for place in np.flatnonzero(last > np.arange(len(boxes)) + 1).tolist():
        rest = slice(place + 1, int(last[place]))
        near = box_ops.iou(
            torch.from_numpy(boxes[place : place + 1]), torch.from_numpy(boxes[rest])
        )
        same = (boxes[rest] == boxes[place]).all(axis=1)  # which is another rule's
        alike = (near.numpy()[0] >= _ALIKE) & (labels[rest] == labels[place]) & ~same
        found |= {max(int(order[place]), int(i)) for i in order[rest][alike]}
    return sorted(found)


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
    _audit_areas(split, dataset, boxes, remarks)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    if dataset.format.startswith("VOC"):
        corners[:, :2] += 1  # as its files have them, whose first pixel is 1
    if (np.mod(corners, 1) == 0.5).all():
        remarks.add("half-pixels", split, f"all {len(boxes)} boxes")
    if _are_corners(boxes, _room(dataset)):
        x, y, width, height = (f"{side:g}" for side in boxes[0])
        remarks.add(
            "corners",
            split,
            f"in all {len(boxes)} boxes width and height are above x and y, and grow with them or "
            "lead over the border, "
            f"the first is [{x}, {y}, {width}, {height}]",
        )


def are_meant_otherwise(dataset: DetectionDataset) -> bool:
    """Whether all boxes are corners, or parts of the size, where pixels and sizes belong."""
    boxes = np.concatenate([np.zeros((0, 4)), *(e.annotated for e in dataset.examples)])
    if not len(boxes):
        return False
    are_parts = bool(boxes.max() <= 1 and (boxes != np.round(boxes)).any())
    return are_parts or (len(boxes) >= MANY and _are_corners(boxes, _room(dataset)))


def _room(dataset: DetectionDataset) -> NDArray[np.float64]:
    """[G, 2], width and height of each box's picture."""
    sizes = [np.tile(e.size[::-1], (len(e.labels), 1)) for e in dataset.examples]
    return np.concatenate([np.zeros((0, 2)), *sizes])


def _audit_areas(
    split: str, dataset: DetectionDataset, boxes: NDArray[np.float64], remarks: Remarks
) -> None:
    """Whether most areas are none of their boxes: of another unit, or of another size."""
    areas, own = np.concatenate([e.areas for e in dataset.examples]), boxes[:, 2:].prod(axis=1)
    known = (areas > 0) & (own > 0)
    filled = areas[known] / own[known]
    wrong = (filled > _MOST_FILLED) | (filled < _LEAST_FILLED)
    if 2 * wrong.sum() > len(boxes):
        first = int(np.flatnonzero(known)[wrong.argmax()])
        remarks.add(
            "other-areas",
            split,
            f"{wrong.sum()} of {len(boxes)}, the first is {areas[first]:g} in a box of "
            f"{boxes[first, 2]:g} x {boxes[first, 3]:g}",
        )


def _are_corners(boxes: NDArray[np.float64], room: NDArray[np.float64]) -> bool:
    """Whether what is read as width and height is the second corner, by all boxes together."""
    start, size = boxes[:, :2], boxes[:, 2:]
    if not (size > start).all():
        return False
    over = (start + size > room + 1).any(axis=1)
    if (size <= room + 1).all() and over.mean() >= _OVER:
        return True
    start, size = start / room, size / room
    if (start.std(axis=0) < _FIXED).any() or (size.std(axis=0) < _FIXED).any():
        return False
    correlations = [np.corrcoef(start[:, axis], size[:, axis])[0, 1] for axis in (0, 1)]
    return min(correlations) > _CORRELATED
