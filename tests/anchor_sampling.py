"""The anchors that small networks of the tests learn from: the paper's rules, of eight of them."""

from __future__ import annotations

from detection.model.targets import AnchorSampling

SAMPLING = AnchorSampling(
    per_image=8,
    positive_fraction=0.5,
    positive_iou=0.7,
    negative_iou=0.3,
    cross_boundary=True,
    ignore_coverage=0.7,
    divide_by="sampled",
)
