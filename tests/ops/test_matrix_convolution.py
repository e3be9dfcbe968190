"""A convolution as a matrix product is the direct one, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detection.ops import matrix_convolution

MAPS = [(1, 1), (3, 3), (7, 7), (2, 5)]


def example(size: int, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x [5, 3, H, W], weight [4, 3, size, size], scale [4] and shift [4] in float32."""
    x = torch.randn(5, 3, *shape).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(4, 3, size, size).contiguous(memory_format=torch.channels_last)
    return x, weight, torch.rand(4) + 0.5, torch.randn(4)


def direct(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    scaled = weight * scale[:, None, None, None]
    return F.conv2d(x, scaled, shift, padding=weight.shape[-1] // 2)


def with_gradients(convolve: object, grad: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the gradients of x and of the weight."""
    x, weight = (tensor.clone().requires_grad_() for tensor in given[:2])
    y = convolve(x, weight, *given[2:])  # type: ignore[operator]
    return (y, *torch.autograd.grad(y, (x, weight), grad.to(y.dtype)))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", MAPS)
@pytest.mark.parametrize("size", [1, 3])
def test_equals_direct_convolution(
    size: int, shape: tuple[int, int], layout: torch.memory_format
) -> None:
    given = [tensor.double() for tensor in example(size, shape)]
    given[:2] = [tensor.contiguous(memory_format=layout) for tensor in given[:2]]
    grad = torch.randn(5, 4, *shape, dtype=torch.float64).contiguous(memory_format=layout)
    ours = with_gradients(matrix_convolution.scaled_convolution, grad, *given)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(ours, with_gradients(direct, grad, *given), strict=True):
        torch.testing.assert_close(a, b)
    plain = matrix_convolution.convolution(given[0], given[1], None)
    torch.testing.assert_close(plain, F.conv2d(given[0], given[1], padding=size // 2))


@pytest.mark.parametrize("at_once", [matrix_convolution.ROWS_AT_ONCE, 90])
@pytest.mark.parametrize("size", [1, 3])
def test_bf16_is_as_near_to_the_truth_as_direct_convolution(
    size: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_convolution, "ROWS_AT_ONCE", at_once)
    x, weight = torch.randn(64, 64, 3, 3), torch.randn(32, 64, size, size) / 8
    scale, shift = torch.rand(32) + 0.5, torch.randn(32)
    grad = torch.randn(64, 32, 3, 3)
    truth = with_gradients(direct, grad.double(), *(t.double() for t in (x, weight, scale, shift)))
    errors = []
    for convolve in (matrix_convolution.scaled_convolution, direct):
        with torch.autocast("cpu", torch.bfloat16):
            found = with_gradients(convolve, grad, x, weight, scale, shift)
        assert [tensor.dtype for tensor in found] == [torch.bfloat16, torch.float32, torch.float32]
        pairs = zip(found, truth, strict=True)
        errors.append([float((a - b).norm().detach() / b.norm().detach()) for a, b in pairs])
    for ours, theirs in zip(*errors, strict=True):
        assert ours < 1.5 * theirs < 0.02


@pytest.mark.parametrize("at_once", [1, 9, 20])
def test_blocks_change_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whole numbers: no order of the additions rounds.
    x, grad = (torch.randint(-3, 4, (7, c, 3, 3)).float() for c in (5, 6))
    weight, bias = torch.randint(-3, 4, (6, 5, 3, 3)).float(), torch.randn(6).round()

    def all_three() -> tuple[Tensor, Tensor, Tensor]:
        return (
            matrix_convolution.convolution(x, weight, bias),
            matrix_convolution.input_gradient(grad, weight),
            matrix_convolution.weight_gradient(x, grad, 3),
        )

    whole = all_three()
    monkeypatch.setattr(matrix_convolution, "ROWS_AT_ONCE", at_once)
    for a, b in zip(all_three(), whole, strict=True):
        assert torch.equal(a, b)


def test_the_result_can_be_changed_in_place() -> None:
    x, weight, scale, shift = example(1, (3, 3))
    x.requires_grad_()
    y = matrix_convolution.scaled_convolution(x, weight, scale, shift)
    F.relu(y, inplace=True).sum().backward()
    assert x.grad is not None


def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, scale, shift = example(3, (3, 3))
    x.requires_grad_()
    monkeypatch.setattr(matrix_convolution, "weight_gradient", None)  # calling it would raise
    matrix_convolution.scaled_convolution(x, weight, scale, shift).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    ("size", "side", "dtype", "learns", "pays"),
    [
        (1, 3, torch.float32, False, True),
        (3, 3, torch.float32, False, False),  # Winograd's way is faster
        (3, 3, torch.float32, True, True),
        (1, 7, torch.float32, True, False),
        (3, 3, torch.bfloat16, False, True),
        (3, 7, torch.bfloat16, False, False),
        (3, 7, torch.bfloat16, True, True),
        (1, 40, torch.bfloat16, False, False),
        (1, 40, torch.bfloat16, True, True),
        (3, 40, torch.bfloat16, True, False),
        (1, 3, torch.float64, True, False),
        (5, 3, torch.float32, True, False),
    ],
)
def test_where_it_pays(size: int, side: int, dtype: torch.dtype, learns: bool, pays: bool) -> None:
    x = torch.zeros(2, 128, side, side, dtype=dtype)
    weight = torch.zeros(128, 128, size, size, dtype=dtype, requires_grad=learns)
    padding = (size // 2, size // 2)
    assert matrix_convolution.pays(x, weight, stride=(1, 1), padding=padding) is pays
    with torch.no_grad():
        once = matrix_convolution.pays(x, weight, stride=(1, 1), padding=padding)
    if not learns:
        assert once is pays
    for stride, other in (((2, 2), padding), ((1, 1), (3, 3))):
        assert not matrix_convolution.pays(x, weight, stride=stride, padding=other)
    assert not matrix_convolution.pays(x[:0], weight, stride=(1, 1), padding=padding)
    narrow = torch.zeros(128, 64, size, size, dtype=dtype, requires_grad=learns)
    assert not matrix_convolution.pays(x[:, :64], narrow, stride=(1, 1), padding=padding)


def test_autocast_decides() -> None:
    x, weight = torch.zeros(2, 128, 7, 7), torch.zeros(128, 128, 1, 1, requires_grad=True)
    assert not matrix_convolution.pays(x, weight, stride=(1, 1), padding=(0, 0))
    with torch.autocast("cpu", torch.bfloat16):
        assert matrix_convolution.pays(x, weight, stride=(1, 1), padding=(0, 0))
