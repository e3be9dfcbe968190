"""The boxes of ground truth and of mini-batches, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detection import boxes as box_ops
from detection.data.dataset import Example
from detection.report.batch_record import ConsumedPicture
from detection.report.data_content import ShownBox, Size
from detection.structures import Target

# COCO's borders between small, medium and large, in square pixels.
SMALL, LARGE = 32.0**2, 96.0**2
BACKGROUND = "background"


def size_of(area: float) -> Size:
    return "small" if area < SMALL else "medium" if area < LARGE else "large"


def ground_truth(
    example: Example, names: Sequence[str], *, ignore_crowd: bool, ignore_difficult: bool
) -> list[ShownBox]:
    """``ignore_crowd``, ``ignore_difficult``: whether training ignores such objects."""
    found = []
    for number, box in enumerate(example.boxes.tolist()):
        flags = []
        if example.crowd[number]:
            flags.append("crowd")
        if example.difficult[number]:
            flags.append("difficult")
        if ("crowd" in flags and ignore_crowd) or ("difficult" in flags and ignore_difficult):
            flags.append("ignored")
        if not example.has_area[number]:
            flags.append("no area")
        width, height = box[2] - box[0], box[3] - box[1]
        found.append(
            ShownBox(
                name=names[example.labels[number] - 1],
                box=_rounded(box),
                size=size_of(float(example.areas[number])),
                flags=flags,
                note=f"{width:.0f} × {height:.0f}",  # noqa: RUF001
                dashed=bool(flags),
            )
        )
    return found


def batch_objects(picture: ConsumedPicture, names: Sequence[str]) -> list[ShownBox]:
    """The targets; with anchors, how many are matched to each."""
    target = picture.target
    counts, overlaps = _reach(picture)
    found = []
    for number, (box, label) in enumerate(
        zip(target.boxes.tolist(), target.labels.tolist(), strict=True)
    ):
        ignored = bool(target.ignored[number])
        note, verdict = "", "ignored" if ignored else "object"
        if picture.anchors is not None and not ignored:
            note = f"{counts[number]} positive anchors, best IoU {overlaps[number]:.2f}"
            if not counts[number]:
                note, verdict = (
                    f"no anchor reaches it, best IoU {overlaps[number]:.2f}",
                    "unreached",
                )
        found.append(
            ShownBox(
                name=names[label - 1],
                box=_rounded(box),
                size=size_of((box[2] - box[0]) * (box[3] - box[1])),
                flags=["ignored"] if ignored else [],
                note=note,
                dashed=ignored,
                verdict=verdict,  # type: ignore[arg-type]
            )
        )
    return found


def _reach(picture: ConsumedPicture) -> tuple[list[int], list[float]]:
    """Of each object: the positive anchors matched to it, sampled or not; the highest IoU of any
    anchor that may be matched."""
    objects = len(picture.target.labels)
    if picture.anchors is None or not objects:
        return [0] * objects, [0.0] * objects
    labels = picture.anchors.labels
    matched = labels.match.gt_index[labels.positive]
    usable = picture.anchors.anchors[labels.usable]
    if not len(usable):
        return [0] * objects, [0.0] * objects
    best = box_ops.iou(usable, picture.target.boxes).amax(dim=0)
    return torch.bincount(matched, minlength=objects).tolist(), best.tolist()


def sampled_anchors(picture: ConsumedPicture, names: Sequence[str]) -> list[ShownBox]:
    """The positive anchors of the sample, each with the object that it is matched to."""
    if picture.anchors is None:
        return []
    sampled, match = picture.anchors.learnt.sampled, picture.anchors.labels.match
    positive = sampled.index[sampled.positive & sampled.valid]
    return [
        _drawn(
            names[int(match.gt_labels[number]) - 1],
            picture.anchors.anchors[number].tolist(),
            verdict="anchor",
            note=f"of object {int(match.gt_index[number]) + 1}, IoU {match.overlap[number]:.2f}",
        )
        for number in positive.tolist()
    ]


def anchor_facts(picture: ConsumedPicture) -> list[str]:
    """Counts of all anchors of the picture, and of the sample."""
    if picture.anchors is None:
        return []
    labels, sampled = picture.anchors.labels, picture.anchors.learnt.sampled
    rest = labels.usable & ~labels.positive & ~labels.negative
    chosen = sampled.valid & sampled.positive, sampled.valid & ~sampled.positive
    return [
        f"anchors: {len(picture.anchors.anchors)}, of which {int(labels.positive.sum())} positive "
        f"and {int(labels.negative.sum())} negative",
        f"sampled: {int(chosen[0].sum())} positive, {int(chosen[1].sum())} negative",
        f"no examples: {int((~labels.usable).sum())} cross the edge, "
        f"{int((rest & labels.match.ignored).sum())} lie in ignored objects, "
        f"{int((rest & ~labels.match.ignored).sum())} between the thresholds",
    ]


def sampled_regions(picture: ConsumedPicture, names: Sequence[str]) -> list[ShownBox]:
    """The regions that Fast R-CNN learns from, foreground first."""
    regions = picture.regions
    if regions is None:
        return []
    overlaps = _overlaps(regions.boxes, picture.target)
    return [
        _drawn(
            names[label - 1] if label else BACKGROUND,
            box,
            verdict="positive" if label else "negative",
            note=f"IoU {overlap:.2f}",
        )
        for label, box, overlap, valid in zip(
            regions.labels.tolist(),
            regions.boxes.tolist(),
            overlaps,
            regions.sampled.valid.tolist(),
            strict=True,
        )
        if valid
    ]


def region_facts(picture: ConsumedPicture) -> list[str]:
    if picture.regions is None:
        return []
    valid, labels = picture.regions.sampled.valid, picture.regions.labels
    positive = int((valid & (labels > 0)).sum())
    return [f"regions: {positive} positive, {int(valid.sum()) - positive} negative"]


def _overlaps(boxes: torch.Tensor, target: Target) -> list[float]:
    """IoU with the object that each box overlaps most, ignored ones left out."""
    objects = target.boxes[~target.ignored]
    if not len(objects):
        return [0.0] * len(boxes)
    best: list[float] = box_ops.iou(boxes, objects).amax(dim=1).tolist()
    return best


def _drawn(name: str, box: Sequence[float], *, verdict: str, note: str) -> ShownBox:
    return ShownBox(
        name=name,
        box=_rounded(box),
        size=size_of((box[2] - box[0]) * (box[3] - box[1])),
        note=note,
        verdict=verdict,  # type: ignore[arg-type]
    )


def _rounded(box: Sequence[float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return x1, y1, x2, y2
