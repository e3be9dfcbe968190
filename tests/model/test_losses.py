"""The terms of the losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from detection.model.losses import deltas_of_class, smooth_l1


def test_smooth_l1_is_the_papers_formula() -> None:
    # 0.5 (3 x)^2 for |x| < 1/9, |x| - 0.5/9 beyond; the sum over the four deltas.
    x = torch.tensor([[0.0, 0.1, -0.1, 0.2], [-1.0, 1 / 9, 2.0, -0.05]])
    expected = torch.tensor(
        [
            4.5 * 0.01 + 4.5 * 0.01 + (0.2 - 1 / 18),
            (1 - 1 / 18) + 1 / 18 + (2 - 1 / 18) + 4.5 * 0.0025,
        ]
    )
    torch.testing.assert_close(smooth_l1(x, torch.zeros(2, 4), sigma=3), expected)
    torch.testing.assert_close(smooth_l1(torch.zeros(2, 4), x, sigma=3), expected)


def test_smooth_l1_with_sigma_one_is_fast_rcnns() -> None:
    # 0.5 * 0.5^2 + (3 - 0.5)
    value = smooth_l1(torch.tensor([[0.5, 3.0, 0, 0]]), torch.zeros(1, 4), sigma=1)
    assert value.item() == pytest.approx(0.125 + 2.5)


def test_smooth_l1_with_an_infinite_sigma_is_l1() -> None:
    deltas = torch.tensor([[0.5, -3.0, 0, 1e-3]], requires_grad=True)
    loss = smooth_l1(deltas, torch.zeros(1, 4), sigma=math.inf)
    assert loss.item() == pytest.approx(3.501)
    loss.sum().backward()
    assert deltas.grad is not None
    assert deltas.grad.tolist() == [[1, -1, 0, 1]]


def test_the_deltas_of_each_regions_own_class() -> None:
    # Labels start with 1; class 1 stands in for background.
    deltas = torch.arange(24.0).reshape(2, 3, 4)
    assert deltas_of_class(deltas, torch.tensor([3, 0])).tolist() == [
        [8, 9, 10, 11],
        [12, 13, 14, 15],
    ]
