"""The per-class RPN: rows of classes, and what an image teaches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detection.model.anchors import Anchors
from detection.model.per_class_rpn import PerClassRPN
from detection.structures import Target
from tests.anchor_sampling import SAMPLING

CLASSES, K = 5, 3


def head() -> PerClassRPN:
    return PerClassRPN(
        in_channels=6,
        hidden_channels=8,
        num_classes=CLASSES,
        anchors=Anchors(sizes=[24], aspect_ratios=[0.5, 1, 2], stride=32, centre=16, rounded=False),
        sampling=SAMPLING,
        sigma=3.0,
        init_std=0.5,
    )


def target(label: int, box: tuple[float, ...], *, ignored: bool = False) -> Target:
    return Target(
        boxes=torch.tensor([box]),
        labels=torch.tensor([label]),
        ignored=torch.tensor([ignored]),
        seed=4,
    )


def test_the_rows_of_a_class_are_those_of_the_whole_convolutions() -> None:
    rpn, features = head(), torch.rand(2, 6, 2, 3)
    torch.nn.init.normal_(rpn.objectness.bias)
    torch.nn.init.normal_(rpn.deltas.bias)
    classes = torch.tensor([[0, 4], [2, 1]])
    logits, deltas = rpn(features, classes)
    hidden = F.relu(rpn.conv(features))
    # [N, C * k, h, w] -> [N, C, h, w, k]: ordered by row, column, anchor
    every_logit = rpn.objectness(hidden).unflatten(1, (CLASSES, K)).permute(0, 1, 3, 4, 2)
    every_delta = rpn.deltas(hidden).unflatten(1, (CLASSES, K, 4)).permute(0, 1, 4, 5, 2, 3)
    for image, row in enumerate(classes):
        for number, label in enumerate(row):
            expected = every_logit[image, label].flatten()
            assert torch.allclose(logits[image, number], expected, atol=1e-6)
            expected = every_delta[image, label].reshape(-1, 4)
            assert torch.allclose(deltas[image, number], expected, atol=1e-6)


def losses(rpn: PerClassRPN, *targets: Target) -> tuple[Tensor, Tensor]:
    features = torch.rand(len(targets), 6, 2, 2, generator=torch.Generator().manual_seed(1))
    anchors = rpn.anchors((2, 2), features.device)
    found = rpn.losses(features, anchors, [(64, 64)] * len(targets), [*targets])
    return found.rpn_objectness, found.rpn_box


def test_an_image_teaches_its_own_class_alone() -> None:
    rpn = head()
    sum(losses(rpn, target(3, (2, 2, 30, 30)), target(5, (34, 34, 60, 60)))).backward()  # type: ignore[union-attr]
    for layer, rows in ((rpn.objectness, K), (rpn.deltas, 4 * K)):
        gradient = layer.weight.grad
        assert gradient is not None
        learnt = gradient.view(CLASSES, rows, -1).abs().sum(dim=(1, 2)) > 0
        assert learnt.tolist() == [False, False, True, False, True]


def test_the_losses_by_hand() -> None:
    rpn = head()
    with torch.no_grad():
        for layer in (rpn.objectness, rpn.deltas):
            layer.weight.zero_()
            layer.bias.zero_()
        rpn.objectness.bias[K : 2 * K] = 1.0  # of class 2
    # The object is the square anchor of the first position, shifted by 3 of its 24 pixels: IoU is
    # 21 / 27 = 0.78.  At 2 x 2 positions there are 12 anchors; no other is positive.
    objectness, box = losses(rpn, target(2, (7, 4, 31, 28)))
    # Of the 8 that are sampled one is positive: softplus(-1) = 0.3133, and 7 times softplus(1).
    assert abs(objectness.item() - (0.31326 + 7 * 1.31326) / 8) < 1e-4
    # dx = 3 / 24; smooth L1 with sigma 3 is linear from 1/9 on: 0.125 - 0.5 / 9, over 8 anchors.
    assert abs(box.item() - (0.125 - 0.5 / 9) / 8) < 1e-5


def test_where_the_object_is_ignored_only_background_is_learnt() -> None:
    rpn = head()
    _, box = losses(rpn, target(1, (4, 4, 28, 28), ignored=True))
    assert box.item() == 0
