"""Whether a training set has anything to learn from, before hours are spent on it.

Objects that are ignored teach nothing (crowds, difficult ones), nor do pictures in which no anchor
may take part (Ren et al. 2015, section 3.1.3: anchors that cross the edge are left out).
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from detection.data.loader import TrainingImages
from detection.model.rpn import RPN
from detection.model.targets import AnchorSampling

log = logging.getLogger("train")


def check_objects(images: TrainingImages) -> None:
    """Raises ValueError if no object is foreground; warns of classes of which most are ignored.

    Nothing is said of a set that has no objects at all but its error.
    """
    dataset = images.dataset
    classes = len(dataset.class_names)
    labels = _joined([e.labels for e in dataset.examples], np.int64)
    crowd = _joined([e.crowd for e in dataset.examples], np.bool_)
    difficult = _joined([e.difficult for e in dataset.examples], np.bool_)
    has_area = _joined([e.has_area for e in dataset.examples], np.bool_)
    ignored = _joined(
        [
            e.ignored(crowd=images.ignore_crowd, difficult=images.ignore_difficult)
            for e in dataset.examples
        ],
        np.bool_,
    )
    if not (has_area & ~ignored).any():
        raise ValueError(
            f"{dataset.source}: nothing to learn: {len(labels)} objects, of which {crowd.sum()} "
            f"are crowd, {difficult.sum()} difficult and {(~has_area).sum()} without area. Masks "
            "drawn with a brush are often exported as crowd: if single objects are meant, set "
            "iscrowd to 0 in the annotations or give data.ignore_crowd=false (of difficult ones: "
            "data.ignore_difficult=false)"
        )
    for name, of_class in zip(dataset.class_names, range(1, classes + 1), strict=True):
        _check_class(images, name, labels == of_class, crowd, difficult)


def _check_class(
    images: TrainingImages,
    name: str,
    of_class: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
    difficult: NDArray[np.bool_],
) -> None:
    """Warns of a class most of whose objects, [G] each, teach nothing."""
    flags = {
        "crowd": (crowd & images.ignore_crowd)[of_class],
        "difficult": (difficult & images.ignore_difficult)[of_class],
    }
    lost = flags["crowd"] | flags["difficult"]
    if 2 * lost.sum() <= len(lost):
        return
    kinds = [kind for kind, flag in flags.items() if flag.any()]
    key = {"crowd": "iscrowd", "difficult": "difficult"}
    what = (
        f"all objects of {name} are {' or '.join(kinds)}, so the class is not learnt"
        if lost.all()
        else f"{name}: {lost.sum()} of {len(lost)} objects are {' or '.join(kinds)} and not learnt"
    )
    log.warning(
        "%s: %s: set %s to 0 in the annotations, or %s, if single objects are meant",
        images.dataset.source,
        what,
        " and ".join(key[kind] for kind in kinds),
        " ".join(f"data.ignore_{kind}=false" for kind in kinds),
    )


def check_anchors(images: TrainingImages, rpn: RPN) -> None:
    """Counts the pictures, and the objects, that no anchor of training is for; warns of them.

    Pictures are as large as training ever makes them.  Raises ValueError if it is all of them.
    """
    if not isinstance(rpn.sampling, AnchorSampling) or rpn.sampling.cross_boundary:
        return  # an anchor at the centre of each object takes part
    without, lonely, objects = _left_out(images, rpn)
    total = len(images)
    if without == total:
        raise ValueError(
            f"{images.dataset.source}: the RPN would learn nothing: no anchor lies inside any of "
            f"the {total} pictures. Make model.rpn.anchors.sizes smaller, or let anchors that "
            "cross the edge take part with model.rpn.sampling.cross_boundary=true"
        )
    if without or lonely:
        log.warning(
            "%s: no anchor lies inside %d of %d pictures, and none that does overlaps %d of %d "
            "objects: the RPN learns nothing of them. Make model.rpn.anchors.sizes smaller, or set "
            "model.rpn.sampling.cross_boundary=true",
            images.dataset.source,
            without,
            total,
            lonely,
            objects,
        )


def _left_out(images: TrainingImages, rpn: RPN) -> tuple[int, int, int]:
    """How many pictures have no anchor inside, how many objects none that overlaps; objects."""
    examples = images.dataset.examples
    largest = max(images.augmentation.resize.shorter_sides)
    before = np.array([e.size for e in examples], dtype=np.float64)  # [N, 2], height and width
    after = np.array([images.augmentation.size(e.size, largest) for e in examples], np.float64)
    anchors = rpn.anchors.at_origin.double().numpy()  # [k, 4]
    reach = [
        _reach(anchors[:, axis], anchors[:, axis + 2], rpn.anchors.stride, after[:, 1 - axis])
        for axis in (0, 1)
    ]  # of x and y: [N, k] each, from and to
    inside = reach[0][2] & reach[1][2]  # [N, k]

    lonely = objects = 0
    for number, example in enumerate(examples):
        learnt = example.has_area & ~(example.crowd & images.ignore_crowd)
        learnt &= ~(example.difficult & images.ignore_difficult)
        boxes = example.boxes[learnt] * np.tile(after[number] / before[number], 2)[[1, 0, 3, 2]]
        met = inside[number][None].repeat(len(boxes), axis=0)
        for axis, (first, last, _) in enumerate(reach):
            met &= boxes[:, axis, None] < last[number]
            met &= boxes[:, axis + 2, None] > first[number]
        lonely += int((~met.any(axis=1)).sum())
        objects += len(boxes)
    return int((~inside.any(axis=1)).sum()), lonely, objects


def _reach(
    low: NDArray[np.float64], high: NDArray[np.float64], stride: int, lengths: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Along one axis, of k anchors in N pictures: the first edge, the last, whether one fits.

    ``low``, ``high``: [k], their edges at the first position.  ``lengths``: [N], of the pictures.
    """
    first = np.maximum(0, np.ceil(-low / stride))  # the first position where it is inside
    last = np.floor((lengths[:, None] - high) / stride)  # and the last
    fits = last >= first
    return np.broadcast_to(low + first * stride, fits.shape), high + last * stride, fits


def _joined(arrays: list[NDArray], kind: type) -> NDArray:
    return np.concatenate([np.zeros(0, dtype=kind), *arrays])
