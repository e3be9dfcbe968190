"""The RPN: its losses by hand, and what it learns from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from detection.model.anchors import Anchors
from detection.model.proposals import ProposalSelection
from detection.model.rpn import RPN
from detection.model.targets import AnchorSampling
from detection.structures import Target
from tests.anchor_sampling import SAMPLING

MakeTarget = Callable[..., Target]
CPU = torch.device("cpu")

SELECTION = ProposalSelection(before_nms=1000, nms_iou=0.7, after_nms=30, min_size=0)


def rpn(
    sampling: AnchorSampling = SAMPLING,
    sizes: tuple[float, ...] = (16,),
    channels: tuple[int, int] = (4, 8),
) -> RPN:
    return RPN(
        in_channels=channels[0],
        hidden_channels=channels[1],
        anchors=Anchors(sizes=sizes, aspect_ratios=[1], stride=16, centre=8, rounded=False),
        sampling=sampling,
        training_proposals=SELECTION,
        test_proposals=SELECTION,
        sigma=3.0,
        init_std=0.01,
    )


def test_all_layers_begin_with_a_gaussian() -> None:
    # Ren et al. 2015, section 3.1.3: of deviation 0.01; biases 0.
    network = rpn(channels=(200, 300))
    for layer in (network.conv, network.objectness, network.deltas):
        assert layer.bias is not None
        assert not bool(layer.bias.any())
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.15)
    assert network.conv.weight.std().item() == pytest.approx(0.01, rel=0.01)


def test_losses_by_hand(target: MakeTarget) -> None:
    # Two anchors, (0, 0, 16, 16) and (16, 0, 32, 16); the object is the first one.
    network = rpn()
    anchors = network.anchors((1, 2), CPU)
    logits = torch.tensor([[0.0, math.log(3)]])
    deltas = torch.tensor([[[1.0, 0.1, 0, 0], [7.0, 7.0, 7.0, 7.0]]])
    objectness, box = network.losses(
        logits, deltas, anchors, [(16, 32)], [target([[0, 0, 16, 16]])]
    )
    # -ln sigmoid(0) = ln 2; -ln(1 - sigmoid(ln 3)) = -ln(1/4) = 2 ln 2; divided by 2 anchors.
    assert objectness.item() == pytest.approx(1.5 * math.log(2))
    # (1 - 0.5/9) + 0.5 * 9 * 0.1^2 of the positive anchor, divided by *both* sampled anchors.
    assert box.item() == pytest.approx((1 - 0.5 / 9 + 0.045) / 2)


def test_box_targets_are_relative_to_the_anchor(target: MakeTarget) -> None:
    # The object is 4 pixels to the right of the anchor (0, 0, 16, 16): dx = 4 / 16.
    # IoU with the first anchor 12 / 20, with the second (16 ...) 4 / 28: the first is its best.
    network = rpn(replace(SAMPLING, positive_iou=0.99))
    wanted = torch.tensor([[[0.25, 0, 0, 0], [0, 0, 0, 0]]])
    _, box = network.losses(
        torch.zeros(1, 2),
        wanted,
        network.anchors((1, 2), CPU),
        [(16, 32)],
        [target([[4, 0, 20, 16]])],
    )
    assert box.item() == pytest.approx(0, abs=1e-7)


def test_losses_are_those_of_each_image(target: MakeTarget) -> None:
    network = rpn()
    anchors = network.anchors((1, 2), CPU)
    logits = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    deltas = torch.randn(2, 2, 4)
    targets = [target([[0, 0, 16, 16]]), target([])]
    sizes = [(16, 32), (16, 32)]
    together = network.losses(logits, deltas, anchors, sizes, targets)
    apart = [
        network.losses(logits[i : i + 1], deltas[i : i + 1], anchors, sizes[:1], [targets[i]])
        for i in range(2)
    ]
    for kind in range(2):
        torch.testing.assert_close(together[kind], torch.cat([losses[kind] for losses in apart]))


def learnt(
    network: RPN, feature_size: tuple[int, int], size: tuple[int, int], target: Target
) -> tuple[list[int], list[int]]:
    """The indices of the anchors that an image's loss teaches as positive, and as negative.

    At a logit of 0 the gradient of the mean cross-entropy is (1/2 - y) / n.
    """
    anchors = network.anchors(feature_size, CPU)
    logits = torch.zeros(1, len(anchors), requires_grad=True)
    deltas = torch.zeros(1, len(anchors), 4, requires_grad=True)
    objectness, box = network.losses(logits, deltas, anchors, [size], [target])
    (objectness + box).backward()
    assert logits.grad is not None
    assert deltas.grad is not None
    assert bool(deltas.grad.isfinite().all())
    gradient = logits.grad[0]
    sampled = int((gradient != 0).sum())
    assert all(abs(g) == pytest.approx(0.5 / sampled) for g in gradient[gradient != 0].tolist())
    return (gradient < 0).nonzero()[:, 0].tolist(), (gradient > 0).nonzero()[:, 0].tolist()


def test_best_anchor_is_positive_below_the_threshold(target: MakeTarget) -> None:
    # IoU of the object with its two best anchors: 12 / 20 = 0.6 and 4 / 28: only the first.
    positive, negative = learnt(rpn(), (1, 4), (16, 64), target([[4, 0, 20, 16]]))
    assert positive == [0]
    assert negative == [1, 2, 3]


def test_best_anchor_is_positive_even_below_the_negative_threshold(target: MakeTarget) -> None:
    # A small object: 4 * 4 / (16 * 16) = 0.06 is below 0.3, and the best all the same.
    positive, negative = learnt(rpn(), (1, 4), (16, 64), target([[20, 4, 24, 8]]))
    assert positive == [1]
    assert negative == [0, 2, 3]


def test_between_the_thresholds_an_anchor_is_neither(target: MakeTarget) -> None:
    # Anchors of 16 and 12 pixels around the same centre: IoU 1 and 144 / 256 = 0.56.
    positive, negative = learnt(rpn(sizes=(16, 12)), (1, 1), (16, 16), target([[0, 0, 16, 16]]))
    assert (positive, negative) == ([0], [])


def test_anchors_across_the_edge_are_dropped_if_so_wanted(target: MakeTarget) -> None:
    # Anchors of 32 pixels in a 48 x 48 image: only the middle one, (8, 8, 40, 40), lies inside.
    inside = rpn(replace(SAMPLING, cross_boundary=False), sizes=(32,))
    nothing = target([])
    assert learnt(inside, (3, 3), (48, 48), nothing) == ([], [4])
    # An object at the edge has the inner anchor as its best, not the outer one.
    assert learnt(inside, (3, 3), (48, 48), target([[0, 0, 24, 24]])) == ([4], [])
    across = rpn(replace(SAMPLING, per_image=9), sizes=(32,))
    assert learnt(across, (3, 3), (48, 48), nothing) == ([], list(range(9)))


def test_an_anchor_that_just_touches_the_edge_is_inside(target: MakeTarget) -> None:
    touching = rpn(replace(SAMPLING, cross_boundary=False), sizes=(16,))
    assert learnt(touching, (2, 2), (32, 32), target([])) == ([], [0, 1, 2, 3])
    # One pixel less in height: the lower row crosses.
    assert learnt(touching, (2, 2), (31, 32), target([])) == ([], [0, 1])


def test_anchors_in_the_padding_of_a_batch_are_not_learnt(target: MakeTarget) -> None:
    # A 32 x 32 image on the map of a 64 x 48 batch (4 rows, 3 columns).
    network = rpn(replace(SAMPLING, cross_boundary=False, per_image=12))
    assert learnt(network, (4, 3), (32, 32), target([])) == ([], [0, 1, 3, 4])


def test_the_subsample_has_its_size_and_at_most_half_are_positive(target: MakeTarget) -> None:
    # 36 anchors, 8 of which are objects.
    network = rpn()
    anchors = network.anchors((6, 6), CPU)
    for seed in range(10):
        torch.manual_seed(seed)
        many = target(anchors[::5].tolist())
        positive, negative = learnt(network, (6, 6), (96, 96), many)
        assert (len(positive), len(negative)) == (4, 4)
        assert set(positive) <= set(range(0, 36, 5))
        assert not set(negative) & set(range(0, 36, 5))
        one = target(anchors[:1].tolist())
        positive, negative = learnt(network, (6, 6), (96, 96), one)
        assert (len(positive), len(negative)) == (1, 7)


def test_no_objects_give_negatives_only(target: MakeTarget) -> None:
    positive, negative = learnt(rpn(), (6, 6), (96, 96), target([]))
    assert (len(positive), len(negative)) == (0, 8)


def test_anchors_in_an_ignored_object_are_not_learnt(target: MakeTarget) -> None:
    # The crowd covers the left half of the map: columns 0 to 2 of 6.
    network = rpn(replace(SAMPLING, per_image=36))
    crowd = target([[0, 0, 48, 96]], ignored=[True])
    positive, negative = learnt(network, (6, 6), (96, 96), crowd)
    assert positive == []
    assert negative == [row * 6 + column for row in range(6) for column in (3, 4, 5)]


def test_an_image_that_is_all_ignored_teaches_nothing(target: MakeTarget) -> None:
    crowd = target([[0, 0, 96, 96]], ignored=[True])
    assert learnt(rpn(), (6, 6), (96, 96), crowd) == ([], [])


def test_outputs_are_ordered_like_the_anchors() -> None:
    # Channel a of the objectness, and channels 4 a to 4 a + 3 of the deltas, are anchor a's.
    network = rpn(sizes=(16, 32, 64))
    with torch.no_grad():
        for layer in (network.conv, network.objectness, network.deltas):
            layer.weight.zero_()
        network.conv.bias.zero_()
        network.objectness.bias.copy_(torch.tensor([0.0, 1, 2]))
        network.deltas.bias.copy_(torch.arange(12.0))
        # Channel 0 of the hidden layer carries the feature of the position to the first anchor.
        network.conv.weight[0, 0, 1, 1] = 1
        network.objectness.weight[0, 0] = 1
    features = torch.zeros(2, 4, 2, 3)
    features[1, 0, 1, 2] = 10  # second image, row 1, column 2
    logits, deltas = network(features)
    assert logits.shape == (2, 18)
    assert deltas.shape == (2, 18, 4)
    expected = torch.tensor([0.0, 1, 2]).repeat(6)
    assert torch.equal(logits[0], expected)
    expected[(1 * 3 + 2) * 3 + 0] += 10
    assert torch.equal(logits[1], expected)
    assert torch.equal(deltas[0].reshape(6, 12), torch.arange(12.0).expand(6, 12))


def test_losses_divided_by_the_number_asked_for(target: MakeTarget) -> None:
    # Two anchors of eight that were asked for: ln 2 twice, divided by 8 and not by 2.
    network = rpn(replace(SAMPLING, divide_by="per_image"))
    anchors = network.anchors((1, 2), CPU)
    objectness, _ = network.losses(
        torch.zeros(1, 2), torch.zeros(1, 2, 4), anchors, [(16, 32)], [target([[0, 0, 16, 16]])]
    )
    assert objectness.item() == pytest.approx(2 * math.log(2) / 8)


def test_an_unknown_divisor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"divide_by must be sampled or per_image, got 'batch'"):
        replace(SAMPLING, divide_by="batch")  # type: ignore[arg-type]
