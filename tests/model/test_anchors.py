"""Anchors: the published nine, and where each of them stands."""

from __future__ import annotations

import pytest
import torch

from detection.model.anchors import Anchors

CPU = torch.device("cpu")

# What py-faster-rcnn's generate_anchors.py returns: (x1, y1, x2, y2), inclusive pixels from 0.
PUBLISHED = [
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]


def test_the_nine_published_anchors_in_their_order() -> None:
    anchors = Anchors(
        sizes=[128, 256, 512], aspect_ratios=[0.5, 1, 2], stride=16, centre=8, rounded=True
    )
    # With continuous edges an inclusive upper edge ends one later.
    expected = torch.tensor(PUBLISHED) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(anchors((1, 1), CPU), expected.float())
    assert anchors.per_position == 9


def test_unrounded_anchors_have_exactly_their_area_and_ratio() -> None:
    anchors = Anchors(
        sizes=[32, 100], aspect_ratios=[0.5, 1, 2], stride=16, centre=0, rounded=False
    )
    width, height = (anchors.at_origin[:, 2:] - anchors.at_origin[:, :2]).unbind(dim=1)
    torch.testing.assert_close(width * height, torch.tensor([32.0, 100, 32, 100, 32, 100]).square())
    torch.testing.assert_close(height / width, torch.tensor([0.5, 0.5, 1, 1, 2, 2]))
    # Centred on the position itself, as detectron2's.
    torch.testing.assert_close(anchors.at_origin[:, :2], -anchors.at_origin[:, 2:])


def test_order_is_row_column_anchor() -> None:
    anchors = Anchors(sizes=[16, 32], aspect_ratios=[1], stride=16, centre=8, rounded=False)
    # Two rows, three columns: the x of the centre runs faster than the y, the size fastest.
    expected = [
        [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
        for y in (8, 24)
        for x in (8, 24, 40)
        for side in (16, 32)
    ]
    assert anchors((2, 3), CPU).tolist() == expected


def test_anchors_are_made_where_they_are_needed(device: torch.device) -> None:
    anchors = Anchors(sizes=[16], aspect_ratios=[1], stride=16, centre=8, rounded=False)
    made = anchors((2, 2), device)
    assert made.device.type == device.type
    assert made.dtype == torch.float32


@pytest.mark.parametrize(("sizes", "ratios"), [([], [1]), ([16], []), ([0], [1]), ([16], [-1])])
def test_anchors_without_area_are_refused(sizes: list[float], ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="positive sizes and ratios"):
        Anchors(sizes=sizes, aspect_ratios=ratios, stride=16, centre=8, rounded=False)
