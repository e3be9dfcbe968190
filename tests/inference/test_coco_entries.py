"""Boxes of the results list stay in their image, rounded as they are."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from detection.inference.coco_entries import coco_entries
from detection.structures import Detections

NUMBER = st.floats(0, 1, width=32)


@given(st.integers(1, 4000), NUMBER, NUMBER)
def test_a_box_that_ends_at_the_border_does_so_in_the_list(
    side: int, left: float, to: float
) -> None:
    x1 = left * side
    x2 = x1 + (side - x1) * to
    edges = torch.tensor([[x1, 0, side, 1], [x1, 0, min(x2, side), 1]]).clamp(max=side)
    found = Detections(edges, torch.ones(2), torch.ones(2, dtype=torch.int64))
    for entry in coco_entries(found, [7]):
        x, _, width, _ = entry["bbox"]
        assert x >= 0
        assert x + width <= side + 1e-9
        assert entry["bbox"] == [round(number, 3) for number in entry["bbox"]]
