"""A frozen BN is no operation of its own, and nobody can tell from the numbers."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.frozen_bn import ConvBN, FrozenBN, Norm, fold, use_winograd
from detection.ops import matrix_convolution, winograd

CASES = [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3)]  # kernel, stride, padding


def pair(
    kernel: int, stride: int, padding: int, with_random_bn: Callable[[nn.Module], None]
) -> tuple[ConvBN, nn.Sequential]:
    """The same function twice: ours, and a convolution followed by nn.BatchNorm2d in eval mode."""
    ours = ConvBN(6, 8, kernel, stride=stride, padding=padding, norm="frozen")
    with_random_bn(ours)
    conv = nn.Conv2d(6, 8, kernel, stride=stride, padding=padding, bias=False)
    bn = nn.BatchNorm2d(8)
    conv.load_state_dict(ours.conv.state_dict())
    bn.load_state_dict(ours.bn.state_dict(), strict=False)  # but for its batch counter
    return ours, nn.Sequential(conv, bn).eval()


def gradients(network: nn.Module, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, and the gradients of a loss in ``x`` and in the convolution's weight."""
    x = x.clone().requires_grad_()
    y = network(x)
    y.square().mean().backward()
    assert x.grad is not None
    assert weight.grad is not None
    return y.detach(), x.grad, weight.grad


@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
def test_output_and_gradients_are_those_of_an_unfolded_network(
    kernel: int, stride: int, padding: int, with_random_bn: Callable[[nn.Module], None]
) -> None:
    ours, unfolded = pair(kernel, stride, padding, with_random_bn)
    x = torch.randn(2, 6, 9, 11)
    got = gradients(ours, ours.conv.weight, x)
    expected = gradients(unfolded, unfolded[0].weight, x)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["frozen", "trained"])
def test_the_first_weights_keep_the_variance_of_the_gradients(norm: Norm) -> None:
    # He et al. 2015 (Delving Deep into Rectifiers), eq. 14: std = sqrt(2 / (k^2 outputs)).
    weight = ConvBN(400, 50, 3, norm=norm).conv.weight.detach()  # 180,000 of them: within 1 %
    assert float(weight.std()) == pytest.approx(math.sqrt(2 / (9 * 50)), rel=0.01)
    assert float(weight.mean()) == pytest.approx(0, abs=0.001)
    # Of a normal distribution 4.6 % lie beyond two deviations, of a uniform one none.
    beyond = (weight.abs() > 2 * weight.std()).float().mean()
    assert float(beyond) == pytest.approx(0.0455, abs=0.003)


def test_scale_and_shift_by_hand() -> None:
    # scale = 3 / sqrt(0.25 + 0.75) = 3, shift = 5 - 2 * 3 = -1.
    bn = FrozenBN(1, eps=0.75)
    bn.load_state_dict(
        {
            "weight": torch.tensor([3.0]),
            "bias": torch.tensor([5.0]),
            "running_mean": torch.tensor([2.0]),
            "running_var": torch.tensor([0.25]),
        }
    )
    scale, shift = bn.scale_and_shift()
    assert scale.item() == pytest.approx(3)
    assert shift.item() == pytest.approx(-1)


def _changed_in_place(bn: FrozenBN) -> FrozenBN:
    bn.weight.mul_(2)
    return bn


def _another_buffer(bn: FrozenBN) -> FrozenBN:
    bn.weight = bn.weight * 2
    return bn


def _loaded(bn: FrozenBN) -> FrozenBN:
    bn.load_state_dict(bn.state_dict() | {"weight": bn.weight * 2})
    return bn


def _copied(bn: FrozenBN) -> FrozenBN:
    return _changed_in_place(copy.deepcopy(bn))


def _pickled(bn: FrozenBN) -> FrozenBN:
    assert len(pickle.dumps(bn)) == len(pickle.dumps(FrozenBN(3)))  # without what is kept
    return _changed_in_place(pickle.loads(pickle.dumps(bn)))


@pytest.mark.parametrize("change", [_changed_in_place, _another_buffer, _loaded, _copied, _pickled])
def test_what_is_kept_of_a_frozen_bn_follows_its_buffers(
    change: Callable[[FrozenBN], FrozenBN],
) -> None:
    bn = FrozenBN(3)
    before, _ = bn.scale_and_shift()
    assert bn.scale_and_shift()[0] is before  # kept
    after, _ = change(bn).scale_and_shift()
    torch.testing.assert_close(after, 2 * before)
    assert bn.double().scale_and_shift()[0].dtype == torch.float64


def test_buffers_that_are_to_learn_have_gradients() -> None:
    bn = FrozenBN(3)
    bn.scale_and_shift()
    bn.weight.requires_grad_()
    bn.scale_and_shift()[0].sum().backward()
    assert bn.weight.grad is not None


def test_a_folded_layer_shares_nothing_with_the_one_it_came_from() -> None:
    layer = ConvBN(3, 4, 3, norm="frozen")
    first, second = layer.folded(), layer.folded()
    assert first.bias is not None
    with torch.no_grad():
        first.bias += 1
    torch.testing.assert_close(second.bias, layer.folded().bias)
    torch.testing.assert_close(layer(torch.zeros(1, 3, 3, 3))[0, :, 0, 0], second.bias)


def test_a_frozen_bn_learns_on_after_inference() -> None:
    layer = ConvBN(3, 4, 3, norm="frozen")
    x = torch.randn(1, 3, 5, 5)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.conv.weight.grad is not None
    with torch.inference_mode():
        made_there = ConvBN(3, 4, 3, norm="frozen")  # torch counts no changes of its tensors
        before = made_there(x)
        made_there.bn.bias += 1
        torch.testing.assert_close(made_there(x), before + 1)


def test_a_frozen_bn_has_no_parameters_and_does_not_move_in_training() -> None:
    layer = ConvBN(3, 4, 3, norm="frozen").train()
    assert [name for name, _ in layer.named_parameters()] == ["conv.weight"]
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_trained_bn_normalises_by_its_batch() -> None:
    layer = ConvBN(3, 4, 3, norm="trained").train()
    y = layer(torch.randn(16, 3, 8, 8) * 5 + 2)
    torch.testing.assert_close(y.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_weights_of_the_trained_kind_fit_the_frozen_kind() -> None:
    trained = ConvBN(3, 4, 3, norm="trained")
    trained(torch.randn(8, 3, 9, 9))  # moves the running statistics
    weights = trained.state_dict()
    del weights["bn.num_batches_tracked"]
    frozen = ConvBN(3, 4, 3, norm="frozen")
    frozen.load_state_dict(weights)
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(frozen(x), trained.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
def test_folding_replaces_the_pair_by_one_equal_convolution(
    kernel: int, stride: int, padding: int, with_random_bn: Callable[[nn.Module], None]
) -> None:
    ours, unfolded = pair(kernel, stride, padding, with_random_bn)
    x = torch.randn(2, 6, 9, 11)
    folded = fold(nn.Sequential(ours))
    (only,) = folded.children()
    assert isinstance(only, nn.Conv2d)
    assert not [*only.children()]
    assert [*only.state_dict()] == ["weight", "bias"]
    torch.testing.assert_close(folded(x), unfolded(x), atol=1e-5, rtol=1e-5)


def test_folding_leaves_a_trained_bn_alone() -> None:
    network = fold(nn.Sequential(ConvBN(3, 4, 3, norm="trained")))
    assert isinstance(network[0], ConvBN)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_weight_stays_channels_last(kernel: int) -> None:
    # Otherwise every convolution would reorder its weight, each time.
    layer = ConvBN(8, 16, kernel, norm="frozen").to(memory_format=torch.channels_last)
    folded = layer.folded()
    assert folded.weight.stride() == layer.conv.weight.stride()
    assert folded.weight.is_contiguous(memory_format=torch.channels_last)


def test_training_changes_the_weight_as_it_would_without_folding(
    with_random_bn: Callable[[nn.Module], None],
) -> None:
    ours, unfolded = pair(3, 1, 1, with_random_bn)
    for network, weight in ((ours, ours.conv.weight), (unfolded, unfolded[0].weight)):
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        for step in range(3):
            optimizer.zero_grad()
            x = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(step))
            F.relu(network(x)).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.conv.weight, unfolded[0].weight, atol=1e-5, rtol=1e-5)


def test_winograd_is_chosen_for_3x3_convolutions_of_stride_1_behind_a_frozen_bn() -> None:
    network = nn.Sequential(
        ConvBN(4, 4, 3, padding=1, norm="frozen"),
        ConvBN(4, 4, 3, padding=1, stride=2, norm="frozen"),
        ConvBN(4, 4, 3, norm="frozen"),
        ConvBN(4, 4, 1, norm="frozen"),
        ConvBN(4, 4, 3, padding=1, norm="trained"),
    )
    use_winograd(network, True)
    assert [layer.winograd for layer in network] == [True, False, False, False, False]
    use_winograd(network, False)
    assert not any(layer.winograd for layer in network)


def test_winograd_changes_neither_outputs_nor_gradients_nor_the_folded_network(
    with_random_bn: Callable[[nn.Module], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, unfolded = pair(3, 1, 1, with_random_bn)
    calls = count_convolutions(monkeypatch)
    use_winograd(ours, True)
    x = torch.randn(2, 6, 9, 11)
    got = gradients(ours, ours.conv.weight, x)
    assert calls == ["conv", "conv"]  # forward, and the gradient of x
    expected = gradients(unfolded, unfolded[0].weight, x)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    folded = fold(nn.Sequential(ours))
    torch.testing.assert_close(folded(x), expected[0], atol=1e-5, rtol=1e-4)
    folded(x)
    assert calls == ["conv"] * 4


def test_bf16_takes_the_direct_way(
    with_random_bn: Callable[[nn.Module], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair(3, 1, 1, with_random_bn)
    calls = count_convolutions(monkeypatch)
    use_winograd(ours, True)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(torch.randn(2, 6, 9, 11)).dtype == torch.bfloat16
    assert not calls


def count_convolutions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each of Winograd's convolutions, which may be of any size."""
    calls: list[str] = []
    convolution = winograd.convolution
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "POSITIONS_OF_WEIGHT", 0)
    monkeypatch.setattr(
        winograd, "convolution", lambda *given: calls.append("conv") or convolution(*given)
    )
    return calls


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each convolution as a matrix product, which may be of any channels."""
    calls: list[str] = []
    convolution = matrix_convolution.convolution
    monkeypatch.setattr(matrix_convolution, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(
        matrix_convolution,
        "convolution",
        lambda *given: calls.append("product") or convolution(*given),
    )
    return calls


@pytest.mark.parametrize("kernel", [1, 3])
def test_small_maps_are_convolved_as_matrices(
    kernel: int, with_random_bn: Callable[[nn.Module], None], products: list[str]
) -> None:
    ours, unfolded = pair(kernel, 1, kernel // 2, with_random_bn)
    ours.to(memory_format=torch.channels_last)
    x = torch.randn(8, 6, 3, 3)
    expected = gradients(unfolded, unfolded[0].weight, x)
    for a, b in zip(gradients(ours, ours.conv.weight, x), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert products == ["product"]
    ours(x).sum().backward()
    weight = ours.conv.weight
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()


@pytest.mark.parametrize("kernel", [1, 3])
def test_small_maps_are_convolved_as_matrices_when_folded(
    kernel: int, with_random_bn: Callable[[nn.Module], None], products: list[str]
) -> None:
    ours, unfolded = pair(kernel, 1, kernel // 2, with_random_bn)
    x = torch.randn(8, 6, 3, 3)
    folded = copy.deepcopy(fold(nn.Sequential(ours)))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        y = folded(x)
    assert (products, y.dtype) == (["product"], torch.bfloat16)
    torch.testing.assert_close(y.float(), unfolded(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("by_winograd", [False, True])
def test_nothing_that_wants_a_gradient_loses_it(
    by_winograd: bool, products: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_convolutions(monkeypatch)
    x = torch.randn(8, 6, 3, 3)
    layer = ConvBN(6, 5, 3, padding=1, norm="frozen")
    use_winograd(layer, by_winograd)
    folded = layer.folded()
    folded(x.clone().requires_grad_()).sum().backward()  # raises where nothing has a gradient
    folded.requires_grad_()
    folded(x).sum().backward()
    assert folded.weight.grad is not None
    assert isinstance(layer.bn, FrozenBN)
    layer.bn.weight.requires_grad_()
    layer(x).sum().backward()
    assert layer.bn.weight.grad is not None
    assert not products + calls


def test_traced_and_exported_it_is_a_convolution(products: list[str]) -> None:
    layer, x = ConvBN(6, 5, 1, norm="frozen").folded(), torch.randn(8, 6, 3, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.jit.trace(layer, x, check_trace=False)  # the check runs it untraced
    graph = torch.export.export(layer, (x,)).graph
    assert any("conv2d" in str(node.target) for node in graph.nodes)
    assert not products
