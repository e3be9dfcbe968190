"""AP and recall of small, medium and large objects, as COCO divides them."""

from __future__ import annotations

import numpy as np

from detection.evaluation.coco_ap import CocoAP
from detection.evaluation.coco_arrays import Objects
from detection.report.content import SizeReport

# Square pixels.  An object on a border is in both.
SMALL, MEDIUM = 32.0**2, 96.0**2
_MOST = 1e10  # a difficult object's area is infinite, for COCO


def size_reports(objects: Objects, coco: CocoAP) -> list[SizeReport]:
    """The three, in this order."""
    areas = objects.areas[~(objects.crowd | objects.difficult)]
    rows = (
        ("small", 0.0, SMALL, coco.APs, coco.ARs),
        ("medium", SMALL, MEDIUM, coco.APm, coco.ARm),
        ("large", MEDIUM, None, coco.APl, coco.ARl),
    )
    return [
        SizeReport(
            name=name,
            low=low,
            high=high,
            objects=int(np.sum((areas >= low) & (areas <= (high or _MOST)))),
            AP=ap,
            AR100=recall,
        )
        for name, low, high, ap, recall in rows
    ]
