"""Winograd's convolution is the direct one, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detection.ops import winograd

# Maps smaller than a tile, whole tiles, and tiles that stick out on either side.
SIZES = [(1, 1), (4, 4), (7, 7), (5, 9), (38, 3)]


def example(size: tuple[int, int], *, images: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x [3, 5, H, W], weight [6, 5, 3, 3], scale [6] and shift [6] in float32."""
    x = torch.randn(images, 5, *size).contiguous(memory_format=torch.channels_last)
    return x, torch.randn(6, 5, 3, 3), torch.rand(6) + 0.5, torch.randn(6)


def test_one_dimension_by_hand() -> None:
    # Only the middle row of the kernel is there, (1, 2, 3), and one row of the map, 1 ... 4:
    # 2*1 + 3*2 = 8, 1*1 + 2*2 + 3*3 = 14, 2 + 6 + 12 = 20, 3 + 8 = 11.
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1] = torch.tensor([1.0, 2.0, 3.0])
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
    y = winograd.convolution(x, winograd.transformed(weight), None)
    torch.testing.assert_close(y, torch.tensor([[[[8.0, 14.0, 20.0, 11.0]]]]))


@pytest.mark.parametrize("size", SIZES)
def test_equals_direct_convolution_in_float64(size: tuple[int, int]) -> None:
    x, weight, scale, shift = example(size)
    folded = weight.double() * scale[:, None, None, None]
    expected = F.conv2d(x.double(), folded, shift.double(), padding=1)
    kernel = winograd.transformed(weight) * scale
    y = winograd.convolution(x, kernel, shift)
    assert y.is_contiguous(memory_format=torch.channels_last)
    largest = float(expected.abs().max())
    torch.testing.assert_close(y.double(), expected, atol=1e-5 * largest, rtol=0)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_direct_convolution(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    x, weight, scale, shift = example(size)
    x, weight = x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)
    grad = torch.randn(3, 6, *size)
    results = []
    for convolve in (winograd.conv3x3, direct):
        given = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = convolve(*given, scale, shift)
        results.append((y, *torch.autograd.grad(y, given, grad)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def direct(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.conv2d(x, weight * scale[:, None, None, None], shift, padding=1)


def test_nothing_but_the_input_is_kept_for_the_gradient() -> None:
    x, weight, scale, shift = example((7, 7))
    x.requires_grad_()
    weight.requires_grad_()
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.data_ptr()) or t, lambda t: t
    ):
        winograd.conv3x3(x, weight, scale, shift)
    assert set(kept) == {x.data_ptr(), weight.data_ptr(), scale.data_ptr()}


def test_the_result_can_be_changed_in_place() -> None:
    x, weight, scale, shift = example((7, 7))
    x.requires_grad_()
    F.relu(winograd.conv3x3(x, weight, scale, shift), inplace=True).sum().backward()
    assert x.grad is not None


def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, scale, shift = example((7, 7))
    x.requires_grad_()
    monkeypatch.setattr(winograd, "weight_gradient", None)  # calling it would raise
    winograd.conv3x3(x, weight, scale, shift).sum().backward()
    assert x.grad is not None


def whole_numbers(*shape: int) -> Tensor:
    """-3 ... 3."""
    return torch.randint(-3, 4, shape).float()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A matrix product of another size may add in another order and so round otherwise: how, is the
    # processor's.  Whole numbers below 2^24 = 16.8 million are exact in float32 in any order, so
    # here the bound is zero.  The largest that can occur, with the largest sum of absolute values
    # of a row (column) of each map, squared because a map is applied to rows and columns:
    #   B^T: 10, so B^T x B          <= 10^2 * 3 = 300
    #   the sum over 5 channels      <= 5 * 300 * 3 = 4,500
    #   A^T: 19, so A^T (...) A      <= 19^2 * 4,500 = 1.6 million, and the bias 3 more
    #   A:   15, so A y' A^T         <= 15^2 * 3 = 675
    #   over 28 tiles, with B^T x B  <= 28 * 300 * 675 = 5.7 million
    # The weight's own map G, of sixths, comes before all blocks or after them, on equal numbers.
    x = whole_numbers(7, 5, 7, 7).contiguous(memory_format=torch.channels_last)
    kernel, bias = whole_numbers(36, 5, 6), whole_numbers(6)
    grad = whole_numbers(7, 6, 7, 7)
    whole = winograd.convolution(x, kernel, bias)
    slope = winograd.weight_gradient(x, grad)
    for tiles in (1, 8, 12):  # blocks of one, two and three of seven images of four tiles
        monkeypatch.setattr(winograd, "TILES_AT_ONCE", tiles)
        assert torch.equal(winograd.convolution(x, kernel, bias), whole)
        assert torch.equal(winograd.weight_gradient(x, grad), slope)


def test_where_it_pays() -> None:
    def pays(channels: int, dtype: torch.dtype, number: int = 1) -> bool:
        x = torch.zeros(number, channels, 4, 4, dtype=dtype)
        return winograd.pays(x, torch.zeros(128, channels, 3, 3, dtype=dtype), transforms=False)

    assert pays(128, torch.float32)
    assert not pays(64, torch.float32)
    assert not pays(128, torch.float64)
    assert not pays(128, torch.bfloat16)
    assert not pays(128, torch.float32, number=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(128, torch.float32)


@pytest.mark.parametrize(
    ("number", "side", "always", "once"),
    [
        (1, 8, False, True),  # conv4 of 128 pixels: the weight is larger than the map
        (2, 16, True, True),
        (64, 3, False, True),  # a tile of 16 computes nine
        (128, 3, True, True),
        (64, 2, False, False),
        (64, 7, True, True),
    ],
)
def test_few_positions_do_not_pay_for_a_transformed_weight(
    number: int, side: int, always: bool, once: bool
) -> None:
    x, weight = torch.zeros(number, 256, side, side), torch.zeros(256, 256, 3, 3)
    assert winograd.pays(x, weight, transforms=True) is always
    assert winograd.pays(x, weight, transforms=False) is once
