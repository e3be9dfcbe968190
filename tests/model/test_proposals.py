"""The invariants of proposals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detection.boxes import iou
from detection.model.anchors import Anchors
from detection.model.proposals import ProposalSelection

CPU = torch.device("cpu")
SELECTION = ProposalSelection(before_nms=1000, nms_iou=0.7, after_nms=30, min_size=0)
ANCHORS = Anchors(sizes=(16, 32), aspect_ratios=[1], stride=16, centre=8, rounded=False)


def propose(
    logits: Tensor, deltas: Tensor, size: tuple[int, int], selection: ProposalSelection
) -> tuple[Tensor, Tensor]:
    (found,) = selection(logits[None], deltas[None], ANCHORS((4, 5), CPU), [size])
    return found.boxes, found.logits


@pytest.mark.parametrize("seed", range(5))
def test_invariants_of_proposals(seed: int) -> None:
    torch.manual_seed(seed)
    logits, deltas = torch.randn(40), torch.randn(40, 4)
    selection = replace(SELECTION, before_nms=35, after_nms=12, nms_iou=0.5, min_size=9)
    boxes, kept_logits = propose(logits, deltas, (60, 77), selection)
    assert 0 < len(boxes) == len(kept_logits) <= 12
    assert bool((boxes >= 0).all())
    assert bool((boxes[:, 2] <= 77).all())
    assert bool((boxes[:, 3] <= 60).all())
    assert bool((boxes[:, 2:] - boxes[:, :2] >= 9).all())
    assert bool((kept_logits.diff() <= 0).all())  # best first
    assert set(kept_logits.tolist()) <= set(logits.topk(35).values.tolist())
    overlaps = iou(boxes, boxes).fill_diagonal_(0)
    assert float(overlaps.max()) <= 0.5
    assert boxes.dtype == torch.float32


def test_without_deltas_the_best_anchor_is_the_first_proposal() -> None:
    # Row 2, column 3, the 16-pixel anchor: (48, 32, 64, 48).
    logits = torch.zeros(40)
    logits[(2 * 5 + 3) * 2] = 5
    boxes, kept = propose(logits, torch.zeros(40, 4), (64, 80), SELECTION)
    assert boxes[0].tolist() == [48, 32, 64, 48]
    assert kept[0] == 5


def test_boxes_without_area_after_clipping_are_dropped() -> None:
    # All centres move 100 widths to the right of the image: nothing is left of them.
    deltas = torch.tensor([100.0, 0, 0, 0]).expand(40, 4)
    boxes, logits = propose(torch.randn(40), deltas, (64, 80), SELECTION)
    assert boxes.shape == (0, 4)
    assert logits.shape == (0,)


def test_huge_deltas_give_finite_boxes() -> None:
    boxes, _ = propose(torch.randn(40), torch.full((40, 4), 1e30), (64, 80), SELECTION)
    assert bool(boxes.isfinite().all())


def test_fewer_anchors_than_asked_for_are_all_used() -> None:
    selection = ProposalSelection(before_nms=12000, nms_iou=1.0, after_nms=2000, min_size=0)
    boxes, _ = propose(torch.randn(40), torch.zeros(40, 4), (64, 80), selection)
    assert len(boxes) == 40


def test_without_a_limit_all_anchors_reach_nms() -> None:
    logits = torch.arange(40, 0, -1.0)
    deltas = torch.zeros(40, 4)
    all_of_them = replace(SELECTION, before_nms=None, nms_iou=0.999, after_nms=40)
    assert len(propose(logits, deltas, (64, 80), all_of_them)[0]) == 40
    assert len(propose(logits, deltas, (64, 80), replace(all_of_them, before_nms=12))[0]) == 12


def test_each_image_of_a_batch_has_the_proposals_it_has_alone(device: torch.device) -> None:
    anchors = ANCHORS((4, 5), device)
    logits, deltas = torch.randn(2, 40, device=device), torch.randn(2, 40, 4, device=device)
    sizes = [(64, 80), (50, 33)]
    together = SELECTION(logits, deltas, anchors, sizes)
    for i, size in enumerate(sizes):
        (alone,) = SELECTION(logits[i : i + 1], deltas[i : i + 1], anchors, [size])
        assert torch.equal(alone.boxes, together[i].boxes)
        assert torch.equal(alone.logits, together[i].logits)
    assert float(together[1].boxes[:, 2].max()) <= 33
    assert float(together[1].boxes[:, 3].max()) <= 50


def test_proposals_carry_no_gradient() -> None:
    logits = torch.randn(1, 8, requires_grad=True)
    deltas = torch.randn(1, 8, 4, requires_grad=True)
    (found,) = SELECTION(logits, deltas, ANCHORS((2, 2), CPU), [(32, 32)])
    assert not found.boxes.requires_grad
    assert not found.logits.requires_grad
