"""The per-class table of an evaluation, for people."""

from __future__ import annotations

from collections.abc import Mapping

from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.voc_ap import VocAP


def per_class_table(coco: CocoAP, voc: VocAP) -> str:
    """Class, objects, COCO's AP and AP50, VOC's 11-point and area AP; last their means.

    ``coco`` and ``voc`` are of the same ground truth.  APs are in percent, "-" where a class has
    no objects to be found; of the objects the last row gives the total.  Returns lines of equal
    length without a final newline; raises ValueError if the classes differ.
    """
    if list(coco.per_class) != list(voc.per_class):
        raise ValueError(
            f"coco and voc must have the same classes, they have {list(coco.per_class)} and "
            f"{list(voc.per_class)}; evaluate both with one ground truth"
        )
    rows = [["AP in %", "objects", "AP", "AP50", "11-point", "area"]]
    for name, of_coco in coco.per_class.items():
        of_voc = voc.per_class[name]
        aps = (of_coco.AP, of_coco.AP50, of_voc.AP_11point, of_voc.AP_area)
        rows.append([name, str(of_coco.num_objects), *map(_percent, aps)])
    total = sum(of_coco.num_objects for of_coco in coco.per_class.values())
    means = (coco.AP, coco.AP50, voc.mAP_11point, voc.mAP_area)
    rows.append(["mean", str(total), *map(_percent, means)])
    return _aligned(rows)


def _percent(ap: float | None) -> str:
    return "-" if ap is None else f"{100 * ap:.1f}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def recall_line(recall: Mapping[str, float | None]) -> str:
    """The numbers of :func:`detection.evaluation.proposal_recall.proposal_recall` in percent."""
    return "proposals: " + "  ".join(
        f"{name} {'-' if value is None else format(100 * value, '.1f')}"
        for name, value in recall.items()
    )
