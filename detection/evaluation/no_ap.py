"""Why an AP is 0, or "-": one look at the detections and at the ground truth beside them.

An AP of 0 is seldom a detector that finds nothing: ids are numbered otherwise, boxes have another
unit, or all scores lie below a threshold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.coco_arrays import (
    Detection,
    DetectionArrays,
    GroundTruth,
    Objects,
    detection_arrays,
    object_arrays,
)
from detection.evaluation.other_meanings import (
    EXPLAINS,
    FOUND,
    assumptions,
    best,
    share_right,
    sizes,
)
from detection.evaluation.voc_ap import VocAP

# Few are enough to see another unit or numbering, of the highest scores of all.
_LOOKED_AT = 2000
_NEAR_ZERO = 0.05  # of the objects that could be found
_MOST_COUNTED = 100  # detections of a class and a picture that COCO's AP counts
_NAMED = 5
_LEAST_LIMIT = 50  # detections of a picture: with fewer it is chance that several have as many


def explain(
    ground_truth: GroundTruth, detections: Sequence[Detection], voc: VocAP
) -> tuple[str, ...]:
    """Sentences on what makes numbers 0, "-" or lower than they could be; none if nothing is odd.

    Both inputs are as :mod:`detection.evaluation.coco_arrays` says.  ``voc``: measured on them.
    """
    objects = object_arrays(ground_truth)
    lines = list(_without_objects(objects))
    zero = {name for name, ap in voc.per_class.items() if ap.AP_area == 0}
    if zero:
        lines += _about_zeros(ground_truth, objects, detection_arrays(detections, objects), zero)
    return (*lines, *_more_than_counted(objects), *_cut(objects, detections))


def _about_zeros(
    ground_truth: GroundTruth, objects: Objects, found: DetectionArrays, zero: set[str]
) -> Iterator[str]:
    """``zero``: the classes of which no object was found."""
    if not len(found.scores):
        yield (
            "AP is 0: there are no detections: all scores lie below the threshold of the "
            "inference, or the detector has not learnt yet"
        )
        return
    share = share_right(objects, found)
    if share < _NEAR_ZERO:
        cause = _cause(ground_truth, objects, found, nothing_found=share == 0)
        if cause is not None:
            yield f"AP is {'0' if share == 0 else 'near 0'}: {cause}"
            return
    given = set(_names(objects, found.classes))
    if unseen := [name for name in objects.class_names if name in zero - given]:
        yield f"AP is 0 of {_listed(unseen)}: there is no detection of it"
    if missed := [name for name in objects.class_names if name in zero & given]:
        yield (
            f"AP is 0 of {_listed(missed)}: no detection of it overlaps an object of it by half "
            f"(IoU {FOUND})"
        )


def _without_objects(objects: Objects) -> Iterator[str]:
    """What has no AP, and why."""
    size = len(objects.class_names)
    every = np.bincount(objects.classes, minlength=size)
    crowd = np.bincount(objects.classes[objects.crowd], minlength=size)
    difficult = np.bincount(objects.classes[objects.difficult & ~objects.crowd], minlength=size)
    none, ignored = [], []
    for name, to_find, count, crowds, hard in zip(
        objects.class_names, objects.count(), every, crowd, difficult, strict=True
    ):
        if to_find:
            continue
        if count:
            ignored.append(f"{name} ({crowds} crowd, {hard} difficult)")
        else:
            none.append(name)
    if none:
        yield f"no AP (-) of {_listed(none)}: no picture of this split has an object of it"
    if ignored:
        yield (
            f"no AP (-) of {_listed(ignored)}: all its objects are crowd or difficult, which need "
            "not be found; set iscrowd or difficult to 0 in the annotations if they should be"
        )


def _cause(
    ground_truth: GroundTruth, objects: Objects, found: DetectionArrays, *, nothing_found: bool
) -> str | None:
    looked_at = best(found, _LOOKED_AT)
    picture_sizes = sizes(ground_truth, objects)
    shares = [
        (share_right(objects, assumed, of=len(looked_at.scores)), what)
        for what, assumed in assumptions(objects, looked_at, picture_sizes)
    ]
    share, what = max(shares, key=lambda each: each[0])  # the first of equal ones
    if share >= EXPLAINS:
        return (
            f"{what}: then {share:.0%} of the {len(looked_at.scores)} highest scores can be right"
        )
    if not nothing_found:
        return None
    x, y = looked_at.boxes[:, 0], looked_at.boxes[:, 1]
    width, height = picture_sizes[looked_at.images].T
    with np.errstate(invalid="ignore"):
        outside = float(
            np.mean((x >= width) | (y >= height) | (looked_at.boxes[:, :2] < -1).any(1))
        )
    if outside >= 0.5:
        return (
            f"{outside:.0%} of the boxes lie outside their pictures: they are in another unit, or "
            "of pictures of another size; bbox is [x, y, width, height] in pixels of the picture"
        )
    if not np.isin(looked_at.images, objects.images).any():
        return "no detection is in a picture that has objects: are these the pictures of the split?"
    if not np.isin(looked_at.classes, objects.classes).any():
        return (
            f"the detections are of {_listed(_names(objects, looked_at.classes))} alone, the "
            f"objects of {_listed(_names(objects, objects.classes))}: the category ids are "
            "numbered otherwise"
        )
    return (
        f"no detection overlaps an object of its class by half (IoU {FOUND}); the highest score "
        f"is {looked_at.scores.max():.2g}: a detector that has not learnt yet looks so"
    )


def _more_than_counted(objects: Objects) -> Iterator[str]:
    """COCO's AP counts the first 100 detections of a class in a picture: some may be too few."""
    if not len(objects.images):
        return
    counted = ~(objects.crowd | objects.difficult)
    groups = objects.images[counted] * len(objects.class_names) + objects.classes[counted]
    _, counts = np.unique(groups, return_counts=True)
    dense = counts[counts > _MOST_COUNTED]
    if len(dense):
        found = 1 - (dense - _MOST_COUNTED).sum() / counted.sum()
        yield (
            f"{len(dense)} times a picture has more than {_MOST_COUNTED} objects of one class (up "
            f"to {dense.max()}), of which COCO's AP counts {_MOST_COUNTED}: its recall cannot pass "
            f"{found:.1%} in these data; VOC's numbers count all"
        )


def _cut(objects: Objects, detections: Sequence[Detection]) -> Iterator[str]:
    """Pictures with as many detections as any has, and more objects: a limit cut them."""
    kept = Counter(objects.image_index[one["image_id"]] for one in detections)
    most = max(kept.values(), default=0)
    if most < _LEAST_LIMIT:
        return
    counts = np.bincount(objects.images[~(objects.crowd | objects.difficult)])
    cut = [int(counts[i]) for i, n in kept.items() if n == most and i < len(counts)]
    if dense := [count for count in cut if count > most]:
        yield (
            f"{len(dense)} pictures have more objects (up to {max(dense)}) than the {most} "
            "detections that a picture has at most: keep more, with "
            "inference.post_processing.per_image"
        )


def _names(objects: Objects, classes: NDArray[np.int64]) -> list[str]:
    return [objects.class_names[number] for number in np.unique(classes)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
