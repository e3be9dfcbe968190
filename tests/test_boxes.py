"""The box convention and its arithmetic, by hand and as round trips."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from detection import boxes as box_ops

UNIT = (1.0, 1.0, 1.0, 1.0)


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


# Sides from 8 to 500: no box is more than 62.5 = 1000 / 16 times another, where decoding stops.
one_box = st.tuples(finite(-200, 1000), finite(-200, 1000), finite(8, 500), finite(8, 500)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def tensor(*boxes: list[float]) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float32)


@given(st.lists(st.tuples(one_box, one_box), min_size=1, max_size=5))
def test_decode_inverts_encode(pairs: list[tuple[list[float], list[float]]]) -> None:
    boxes, anchors = (tensor(*side) for side in zip(*pairs, strict=True))
    for weights in (UNIT, (10.0, 10.0, 5.0, 5.0)):
        deltas = box_ops.encode(boxes, anchors, weights)
        torch.testing.assert_close(
            box_ops.decode(deltas, anchors, weights), boxes, atol=5e-3, rtol=1e-5
        )


def test_encode_by_hand() -> None:
    # Anchor: centre (5, 10), 10 wide, 20 high.  Box: centre (15, 30), 20 wide, 40 high.
    # dx = (15 - 5) / 10 = 1, dy = (30 - 10) / 20 = 1, dw = ln(20 / 10), dh = ln(40 / 20).
    deltas = box_ops.encode(tensor([5, 10, 25, 50]), tensor([0, 0, 10, 20]), UNIT)
    torch.testing.assert_close(deltas, tensor([1, 1, math.log(2), math.log(2)]))


def test_encode_multiplies_by_the_weights() -> None:
    anchor, box = tensor([0, 0, 10, 20]), tensor([5, 10, 25, 50])
    deltas = box_ops.encode(box, anchor, (10.0, 20.0, 5.0, 2.0))
    torch.testing.assert_close(deltas, tensor([10, 20, 5 * math.log(2), 2 * math.log(2)]))


def test_decode_by_hand() -> None:
    # Centre (5, 10) moved by 0.5 * 10 and -0.25 * 20 -> (10, 5); 10 * 2 wide, 20 / 2 high.
    deltas = tensor([0.5, -0.25, math.log(2), -math.log(2)])
    box = box_ops.decode(deltas, tensor([0, 0, 10, 20]), UNIT)
    torch.testing.assert_close(box, tensor([0, 0, 20, 10]))


def test_decode_limits_growth_to_1000_sixteenths() -> None:
    # 16 pixels * 1000 / 16 = 1000 pixels, around the centre (8, 8), however large dw and dh are.
    box = box_ops.decode(tensor([0, 0, 50, 1e30]), tensor([0, 0, 16, 16]), UNIT)
    torch.testing.assert_close(box, tensor([-492, -492, 508, 508]), atol=1e-3, rtol=0)


def test_decode_limits_the_log_scale_after_the_weights() -> None:
    # dw = 20 / 5 = 4 < ln(62.5) = 4.135: not limited, although 20 is.
    box = box_ops.decode(tensor([0, 0, 20, 0]), tensor([0, 0, 2, 2]), (10.0, 10.0, 5.0, 5.0))
    assert float(box[0, 2] - box[0, 0]) == pytest.approx(2 * math.exp(4), rel=1e-5)


def test_decode_does_not_limit_shrinking() -> None:
    # ln(1 / 1000) is below -ln(1000 / 16), and stays.
    box = box_ops.decode(tensor([0, 0, -math.log(1000), 0]), tensor([0, 0, 1000, 10]), UNIT)
    torch.testing.assert_close(box, tensor([499.5, 0, 500.5, 10]), atol=1e-3, rtol=0)


def test_decode_takes_one_anchor_for_many_deltas() -> None:
    deltas = torch.zeros(2, 3, 4)  # [R, C, 4], as in the head
    anchors = tensor([0, 0, 10, 10], [5, 5, 9, 9])
    assert torch.equal(
        box_ops.decode(deltas, anchors[:, None], UNIT), anchors[:, None].expand(2, 3, 4)
    )


def test_iou_by_hand() -> None:
    # 5 * 5 in common; 100 + 100 - 25 in all: 25 / 175.
    a = tensor([0, 0, 10, 10])
    b = tensor([5, 5, 15, 15], [0, 0, 10, 10], [0, 0, 5, 10], [10, 0, 20, 10], [30, 30, 40, 40])
    torch.testing.assert_close(box_ops.iou(a, b), tensor([1 / 7, 1, 0.5, 0, 0]))


def test_iou_of_boxes_apart_in_both_directions_is_zero() -> None:
    # Two negative extents must not multiply to a positive area.
    assert box_ops.iou(tensor([0, 0, 10, 10]), tensor([20, 20, 30, 30])).item() == 0


def test_iou_of_empty_boxes_is_zero_and_no_nan() -> None:
    empty = tensor([3, 3, 3, 3], [3, 3, 3, 9])
    assert torch.equal(box_ops.iou(empty, empty), torch.zeros(2, 2))


@given(st.lists(one_box, min_size=1, max_size=4), st.lists(one_box, min_size=1, max_size=4))
def test_iou_is_symmetric_and_a_fraction(a: list[list[float]], b: list[list[float]]) -> None:
    overlaps = box_ops.iou(tensor(*a), tensor(*b))
    torch.testing.assert_close(overlaps, box_ops.iou(tensor(*b), tensor(*a)).T)
    assert bool((overlaps >= 0).all())
    assert bool((overlaps <= 1 + 1e-6).all())
    torch.testing.assert_close(box_ops.iou(tensor(*a), tensor(*a)).diagonal(), torch.ones(len(a)))


def test_coverage_is_relative_to_the_first_boxes() -> None:
    # Half of a lies in b, 50 / 100; of b's 9,500 pixels only 50 lie in a.
    a, b = tensor([0, 0, 10, 10]), tensor([5, 0, 100, 100])
    assert box_ops.coverage(a, b).item() == pytest.approx(0.5)
    assert box_ops.coverage(b, a).item() == pytest.approx(50 / 9500)


def test_coverage_of_an_empty_box_is_zero() -> None:
    assert box_ops.coverage(tensor([3, 3, 3, 3]), tensor([0, 0, 10, 10])).item() == 0


def test_clip_takes_height_and_width_in_this_order() -> None:
    box = box_ops.clip(tensor([-5, -6, 150, 160]), (100, 140))
    assert torch.equal(box, tensor([0, 0, 140, 100]))


def test_clip_leaves_boxes_inside_alone() -> None:
    box = tensor([0, 0, 140, 100], [1.5, 2.5, 3.5, 4.5])
    assert torch.equal(box_ops.clip(box, (100, 140)), box)


def test_flip_by_hand() -> None:
    # In 10 pixels, [1, 4] becomes [10 - 4, 10 - 1]; y stays.
    assert torch.equal(box_ops.flip(tensor([1, 2, 4, 6]), 10), tensor([6, 2, 9, 6]))


@given(one_box)
def test_flip_is_its_own_inverse(box: list[float]) -> None:
    twice = box_ops.flip(box_ops.flip(tensor(box), 640), 640)
    torch.testing.assert_close(twice, tensor(box), atol=1e-3, rtol=0)


def test_rescale_by_hand() -> None:
    # 100 x 200 (height x width) to 50 x 300: y halves, x grows by a half.
    box = box_ops.rescale(tensor([10, 20, 30, 40]), (100, 200), (50, 300))
    torch.testing.assert_close(box, tensor([15, 10, 45, 20]))


sides = st.integers(1, 2000)


@given(one_box, st.tuples(sides, sides), st.tuples(sides, sides))
def test_rescale_is_inverted_by_swapping_the_sizes(
    box: list[float], size: tuple[int, int], new_size: tuple[int, int]
) -> None:
    there = box_ops.rescale(tensor(box), size, new_size)
    back = box_ops.rescale(there, new_size, size)
    torch.testing.assert_close(back, tensor(box), atol=1e-3, rtol=1e-5)


def test_coco_boxes_are_corner_and_size() -> None:
    coco = np.array([[10, 20, 30, 40]], dtype=np.float32)
    corners = box_ops.from_coco(coco)
    assert corners.tolist() == [[10, 20, 40, 60]]
    assert corners.dtype == np.float32
    assert box_ops.to_coco(corners).tolist() == coco.tolist()


def test_a_voc_box_of_one_pixel_has_area_one() -> None:
    voc = np.array([[1, 1, 1, 1]], dtype=np.float32)
    corners = box_ops.from_voc(voc)
    assert corners.tolist() == [[0, 0, 1, 1]]
    assert corners.dtype == np.float32
    assert box_ops.to_voc(corners).tolist() == voc.tolist()


def test_overlap_of_voc_boxes_is_the_development_kits() -> None:
    # The kit adds 1: (30 - 11 + 1) * (20 - 1 + 1) = 400 in common, of 900 + 800 - 400 = 1300.
    voc = np.array([[1, 1, 30, 30], [11, 1, 50, 20]], dtype=np.float32)
    a, b = torch.from_numpy(box_ops.from_voc(voc))
    assert box_ops.iou(a[None], b[None]).item() == pytest.approx(400 / 1300)


def test_no_boxes_are_fine_everywhere() -> None:
    none, one = torch.zeros(0, 4), tensor([0, 0, 1, 1])
    assert box_ops.iou(none, one).shape == (0, 1)
    assert box_ops.iou(one, none).shape == (1, 0)
    assert box_ops.clip(none, (5, 5)).shape == (0, 4)
    assert box_ops.decode(none, none, UNIT).shape == (0, 4)
    assert box_ops.encode(none, none, UNIT).shape == (0, 4)
    assert box_ops.from_coco(np.zeros((0, 4), dtype=np.float32)).shape == (0, 4)


@pytest.mark.cuda
def test_coding_never_waits_for_the_device() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10]], device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        deltas = box_ops.encode(anchors + 1, anchors, (10.0, 10.0, 5.0, 5.0))
        box_ops.decode(deltas, anchors, (10.0, 10.0, 5.0, 5.0))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_last_pixel_is_inside_the_edge() -> None:
    # The pixels 3, 4, 5 of a row: edges 3 and 6.
    boxes = torch.tensor([[3.0, 0, 6, 1]])
    assert box_ops.with_last_pixels(boxes).tolist() == [[3, 0, 5, 0]]
