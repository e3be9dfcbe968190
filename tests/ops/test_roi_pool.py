"""RoI pooling against torchvision, a pure-Python reference, and numbers a human can check."""

from __future__ import annotations

import math
import os
import platform
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from detection.ops import extension
from detection.ops.__main__ import main as self_test_main
from detection.ops.roi_pool import roi_align, roi_cells, roi_pool

LAYOUTS = [torch.contiguous_format, torch.channels_last]
SIXTEEN_BITS = [torch.float16, torch.bfloat16]
ROOT = Path(__file__).resolve().parents[2]

compiled = pytest.mark.skipif(
    isinstance(extension.cpu, str), reason="the kernels are not compiled here"
)

Pool = Callable[..., Tensor]


@pytest.fixture
def device(device: torch.device) -> torch.device:
    """On a GPU only our kernels are tested; torchvision's have other limits."""
    if device.type == "cuda" and isinstance(extension.cuda, str):
        pytest.skip(f"the CUDA kernels: {extension.cuda}")
    return device


def random_rois(count: int, images: int, height: int, width: int, generator: int = 0) -> Tensor:
    """Boxes in pixels of stride 16, a third of them partly or wholly outside the map."""
    random = torch.Generator().manual_seed(generator)
    size = torch.tensor([width * 16.0, height * 16.0])
    corners = torch.rand(count, 2, 2, generator=random) * size * 1.4 - 0.2 * size
    image = torch.randint(images, (count, 1), generator=random)
    return torch.cat((image, corners.amin(1), corners.amax(1)), 1)


def half_cell_rois(count: int, images: int, height: int, width: int) -> Tensor:
    """Boxes whose corners lie on the .5 edges of cells: multiples of 8 pixels at stride 16."""
    rois = random_rois(count, images, height, width, 1)
    rois[:, 1:] = (rois[:, 1:] / 8).round() * 8
    return rois


def is_same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, but for the payload of NaN and the sign of zero."""
    return a.dtype == b.dtype and torch.equal(a.isnan(), b.isnan()) and torch.equal(
        a.nan_to_num(), b.nan_to_num()
    )  # fmt: skip


# ---- References ------------------------------------------------------------------------------


def away_from_zero(value: float) -> int:
    """C's round, unlike Python's, which rounds halves to even."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def slow_roi_pool(
    features: Tensor, rois: Tensor, size: tuple[int, int], scale: float, step: int
) -> Tensor:
    """Caffe's RoIPool, bin by bin."""
    height, width = features.shape[2:]
    rows, columns = range(0, size[0], step), range(0, size[1], step)
    pooled = features.new_zeros(len(rois), features.shape[1], len(rows), len(columns))
    for k, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (away_from_zero(corner * scale) for corner in corners)
        bin_height = max(y2 - y1 + 1, 1) / size[0]
        bin_width = max(x2 - x1 + 1, 1) / size[1]
        for i, row in enumerate(rows):
            top = min(max(y1 + math.floor(row * bin_height), 0), height)
            bottom = min(max(y1 + math.ceil((row + 1) * bin_height), 0), height)
            for j, column in enumerate(columns):
                left = min(max(x1 + math.floor(column * bin_width), 0), width)
                right = min(max(x1 + math.ceil((column + 1) * bin_width), 0), width)
                if top < bottom and left < right:
                    cells = features[int(image), :, top:bottom, left:right]
                    pooled[k, :, i, j] = cells.amax((1, 2))
    return pooled


def bilinear(cells: Tensor, y: float, x: float) -> Tensor:
    height, width = cells.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return cells.new_zeros(cells.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    top = cells[:, y0, x0] * (1 - (x - x0)) + cells[:, y0, x1] * (x - x0)
    bottom = cells[:, y1, x0] * (1 - (x - x0)) + cells[:, y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def slow_roi_align(
    features: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
    step: int,
) -> Tensor:
    """RoIAlign, sample by sample."""
    rows, columns = range(0, size[0], step), range(0, size[1], step)
    pooled = features.new_zeros(len(rois), features.shape[1], len(rows), len(columns))
    offset = 0.5 if aligned else 0.0
    for k, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * scale - offset for corner in corners)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1), max(width, 1)
        bin_height, bin_width = height / size[0], width / size[1]
        down = ratio if ratio > 0 else math.ceil(bin_height)
        across = ratio if ratio > 0 else math.ceil(bin_width)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                for s in range(down):
                    y = y1 + row * bin_height + (s + 0.5) * bin_height / down
                    for t in range(across):
                        x = x1 + column * bin_width + (t + 0.5) * bin_width / across
                        pooled[k, :, i, j] += bilinear(features[int(image)], y, x)
                pooled[k, :, i, j] /= max(down * across, 1)
    return pooled


def torchvision_pool(
    features: Tensor, rois: Tensor, size: int | tuple[int, int], scale: float, step: int
) -> Tensor:
    return torchvision.ops.roi_pool(features, rois, size, scale)[:, :, ::step, ::step]


def torchvision_align(
    features: Tensor,
    rois: Tensor,
    size: int | tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
    step: int,
) -> Tensor:
    pooled = torchvision.ops.roi_align(features, rois, size, scale, ratio, aligned)
    return pooled[:, :, ::step, ::step]


OPERATORS = [
    pytest.param(roi_pool, torchvision_pool, (), id="pool"),
    pytest.param(roi_align, torchvision_align, (0, True), id="align"),
    pytest.param(roi_align, torchvision_align, (2, False), id="align-fixed"),
]


# ---- Forward ---------------------------------------------------------------------------------


def test_halves_are_rounded_away_from_zero() -> None:
    # Stride 16: 8 px = 0.5 -> cell 1, 40 px = 2.5 -> cell 3, -8 px = -0.5 -> cell -1.  Rounding to
    # even would give 0, 2 and 0.
    features = torch.arange(6.0).expand(1, 1, 6, 6)
    pooled = roi_pool(features, torch.tensor([[0.0, 8, 0, 8, 0]]), 1, 1 / 16)
    assert pooled.item() == 1
    pooled = roi_pool(features, torch.tensor([[0.0, 40, 0, 40, 0]]), 1, 1 / 16)
    assert pooled.item() == 3
    # Cells -1 to 0, two bins: the first lies outside the map and is 0, the second is cell 0.
    pooled = roi_pool(features + 7, torch.tensor([[0.0, -8, 0, 0, 0]]), (1, 2), 1 / 16)
    assert pooled.flatten().tolist() == [0, 7]


@pytest.mark.parametrize("scale", [1 / 16, 1 / 8, 0.3])
def test_rois_of_the_same_cells_pool_alike(scale: float) -> None:
    features = torch.randn(1, 8, 12, 9)
    rois = torch.cat((random_rois(400, 1, 12, 9), half_cell_rois(400, 1, 12, 9)))
    cells = roi_cells(rois[:, 1:], scale)
    expected = [[away_from_zero(x) for x in roi] for roi in (rois[:, 1:] * scale).tolist()]
    assert cells.tolist() == expected
    # Pooled from the cells themselves.
    whole = torch.cat((rois[:, :1], cells), 1)
    assert is_same(roi_pool(features, rois, 3, scale), roi_pool(features, whole, 3, 1.0))


def test_bins_share_cells_and_ends_are_inclusive() -> None:
    # Cells 0 ... 4, 2 bins of 2.5 cells: [0, 3) and [2, 5); their maxima are cells 2 and 4.
    features = torch.arange(8.0).expand(1, 1, 8, 8)
    pooled = roi_pool(features, torch.tensor([[0.0, 0, 0, 4, 4]]), 2, 1.0)
    assert pooled[0, 0].tolist() == [[2, 4], [2, 4]]
    # An inverted box covers one cell.
    assert roi_pool(features, torch.tensor([[0.0, 5, 5, 2, 2]]), 1, 1.0).item() == 5


def test_align_by_hand() -> None:
    # On the plane f(y, x) = x a mean of bilinear samples is the bin's centre: with half a cell
    # off, x from 1 to 5 in 2 bins is centred on 2 and 4, less 0.5.
    features = torch.arange(8.0).expand(1, 1, 8, 8)
    rois = torch.tensor([[0.0, 1, 1, 5, 5]])
    assert roi_align(features, rois, (1, 2), 1.0, 0, True).flatten().tolist() == [1.5, 3.5]
    assert roi_align(features, rois, (1, 2), 1.0, 0, False).flatten().tolist() == [2, 4]


@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "step"), [(14, 1), (14, 2), ((7, 5), 3), (1, 1), (3, 9)])
@pytest.mark.slow
def test_equals_torchvision_bit_for_bit(
    ours: Pool,
    theirs: Pool,
    options: tuple[Any, ...],
    layout: torch.memory_format,
    dtype: torch.dtype,
    size: int | tuple[int, int],
    step: int,
    device: torch.device,
) -> None:
    features = torch.randn(3, 19, 25, 32).to(dtype).contiguous(memory_format=layout)
    rois = torch.cat((random_rois(500, 3, 25, 32), half_cell_rois(500, 3, 25, 32))).to(dtype)
    pooled = ours(features.to(device), rois.to(device), size, 1 / 16, *options, step)
    expected = theirs(features, rois, size, 1 / 16, *options, step)
    assert pooled.is_contiguous(memory_format=layout)
    if ours is roi_align and platform.machine() != "x86_64":  # torchvision is built with FMA there
        torch.testing.assert_close(pooled.cpu(), expected)
    else:
        assert torch.equal(pooled.cpu(), expected)


@pytest.mark.parametrize("channels", [1, 3, 8, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_number_of_channels(
    channels: int, layout: torch.memory_format, device: torch.device
) -> None:
    features = torch.randn(1, channels, 12, 9).contiguous(memory_format=layout)
    rois = random_rois(60, 1, 12, 9)
    pooled = roi_pool(features.to(device), rois.to(device), 5, 1 / 16)
    assert torch.equal(pooled.cpu(), torchvision_pool(features, rois, 5, 1 / 16, 1))
    pooled = roi_align(features.to(device), rois.to(device), 5, 1 / 16, 0, True)
    torch.testing.assert_close(
        pooled.cpu(), torchvision_align(features, rois, 5, 1 / 16, 0, True, 1)
    )


@pytest.mark.parametrize("step", [1, 2])
def test_equals_the_slow_reference(step: int, device: torch.device) -> None:
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    rois = torch.cat((random_rois(12, 2, 9, 11), half_cell_rois(12, 2, 9, 11))).double()
    pooled = roi_pool(features.to(device), rois.to(device), (4, 3), 1 / 16, step)
    assert torch.equal(pooled.cpu(), slow_roi_pool(features, rois, (4, 3), 1 / 16, step))
    for ratio, aligned in ((0, True), (0, False), (3, True)):
        pooled = roi_align(
            features.to(device), rois.to(device), (4, 3), 1 / 16, ratio, aligned, step
        )
        expected = slow_roi_align(features, rois, (4, 3), 1 / 16, ratio, aligned, step)
        torch.testing.assert_close(pooled.cpu(), expected)


corner = st.floats(-400, 900, width=32)


@given(
    boxes=st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=6),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    step=st.integers(1, 4),
)
def test_property_equals_torchvision(
    boxes: list[tuple[float, ...]], rows: int, columns: int, step: int
) -> None:
    """Any box at all, inverted ones too."""
    rois = torch.tensor([(0.0, *box) for box in boxes])
    features = torch.randn(1, 4, 20, 17, generator=torch.Generator().manual_seed(0))
    pooled = roi_pool(features, rois, (rows, columns), 1 / 16, step)
    assert torch.equal(pooled, torchvision_pool(features, rois, (rows, columns), 1 / 16, step))
    pooled = roi_align(features, rois, (rows, columns), 1 / 16, 2, True, step)
    expected = torchvision_align(features, rois, (rows, columns), 1 / 16, 2, True, step)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lists_of_boxes(layout: torch.memory_format, device: torch.device) -> None:
    features = torch.randn(3, 8, 12, 9, device=device).contiguous(memory_format=layout)
    rois = random_rois(30, 3, 12, 9).to(device)
    rois = rois[rois[:, 0].argsort(stable=True)]
    boxes = [rois[rois[:, 0] == i, 1:] for i in range(3)]
    assert torch.equal(roi_pool(features, boxes, 4, 1 / 16), roi_pool(features, rois, 4, 1 / 16))
    boxes[1] = boxes[1][:0]  # an image without boxes
    pooled = roi_pool(features, boxes, 4, 1 / 16)
    assert torch.equal(pooled, roi_pool(features, rois[rois[:, 0] != 1], 4, 1 / 16))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_no_rois(
    ours: Pool, theirs: Pool, options: tuple[Any, ...], layout: torch.memory_format,
    device: torch.device,
) -> None:  # fmt: skip
    features = torch.randn(2, 8, 6, 5, device=device).contiguous(memory_format=layout)
    features.requires_grad_()
    pooled = ours(features, features.new_zeros((0, 5)), (7, 6), 1 / 16, *options, 2)
    assert pooled.shape == (0, 8, 4, 3)
    pooled.sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() == 0
    assert len(ours(features[:0], [], 7, 1 / 16, *options)) == 0


def test_slices_are_read_in_place(device: torch.device) -> None:
    whole = torch.randn(2, 40, 14, 15, device=device)
    rois = random_rois(40, 1, 8, 8).to(device)
    for layout in LAYOUTS:
        padded = whole.contiguous(memory_format=layout)
        for view in (padded[:, 3:30], padded[:, :, 2:9, 1:12], padded[1:], padded[:, :, ::2]):
            expected = roi_pool(view.clone(memory_format=layout), rois, 5, 1 / 16)
            assert torch.equal(roi_pool(view, rois, 5, 1 / 16), expected)
            expected = roi_align(view.clone(memory_format=layout), rois, 5, 1 / 16, 0, True)
            assert torch.equal(roi_align(view, rois, 5, 1 / 16, 0, True), expected)


# ---- 16 bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [1, 2])
def test_16_bits(
    dtype: torch.dtype, layout: torch.memory_format, step: int, device: torch.device
) -> None:
    features = torch.randn(2, 21, 12, 9, device=device).to(dtype).contiguous(memory_format=layout)
    rois = torch.cat((random_rois(200, 2, 12, 9), half_cell_rois(200, 2, 12, 9))).to(device)
    pooled = roi_pool(features, rois, 6, 1 / 16, step)
    # A maximum is one of the numbers: no rounding at all.
    assert torch.equal(pooled, roi_pool(features.float(), rois, 6, 1 / 16, step).to(dtype))
    assert pooled.is_contiguous(memory_format=layout)
    # A mean is summed in float32 and rounded once.
    pooled = roi_align(features, rois, 6, 1 / 16, 0, True, step)
    assert torch.equal(
        pooled, roi_align(features.float(), rois, 6, 1 / 16, 0, True, step).to(dtype)
    )
    # Only boxes inside the map: on its border RoIAlign is not continuous.
    inside = random_rois(200, 2, 12, 9).to(device)
    inside[:, 1:] = inside[:, 1:].clamp(8, 135)
    pooled = roi_align(features, inside, 6, 1 / 16, 0, True, step)
    exact = roi_align(features.double(), inside.double(), 6, 1 / 16, 0, True, step)
    epsilon = torch.finfo(dtype).eps
    torch.testing.assert_close(pooled.double(), exact, rtol=epsilon / 2, atol=1e-5)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_every_16_bit_number(dtype: torch.dtype, device: torch.device) -> None:
    """65,536 channels, each with another bit pattern, in a map of one cell."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    features = bits.view(dtype).reshape(1, -1, 1, 1).to(device)
    roi = torch.zeros(1, 5, device=device)
    pooled = roi_pool(features, roi, 1, 1.0)
    # torchvision's maximum starts at the lowest number, which NaN and -inf do not exceed.
    lowest = torch.finfo(dtype).min
    expected = features.float().nan_to_num(nan=lowest, posinf=math.inf, neginf=lowest).to(dtype)
    assert is_same(pooled, expected)
    # One sample in the middle of the cell; infinities meet weights of 0 and become NaN.
    roi = torch.tensor([[0.0, 0, 0, 1, 1]], device=device)
    pooled = roi_align(features, roi, 1, 1.0, 1, True)
    finite = features.isfinite()
    assert torch.equal(pooled[finite], features[finite])
    assert pooled[~finite].isnan().all()


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_sums_are_rounded_to_nearest_even(dtype: torch.dtype, device: torch.device) -> None:
    """The mean of two 16-bit numbers often lies in the middle between two others."""
    pairs = torch.randn(2, 1, 4096, device=device) * torch.logspace(-9, 3.9, 4096, device=device)
    features = pairs.permute(1, 2, 0)[..., None, :].to(dtype)  # [1, 4096, 1, 2]
    roi = torch.tensor([[0.0, 0, 0, 2, 1]], device=device)
    pooled = roi_align(features, roi, 1, 1.0, 2, True)[0, :, 0, 0]
    # Two rows of samples on the one row of cells, at columns 0 and 1.
    expected = features.float().mean((2, 3))[0].to(dtype)
    assert torch.equal(pooled, expected)


def test_autocast_keeps_the_type_of_the_features(device: torch.device) -> None:
    features = torch.randn(1, 16, 12, 9, device=device)
    rois = random_rois(50, 1, 12, 9).to(device)
    narrow = features.bfloat16()
    with torch.autocast(device.type, torch.bfloat16):
        pooled = roi_pool(narrow, rois, 5, 1 / 16)
        aligned = roi_align(narrow, rois, 5, 1 / 16, 0, True)
        assert roi_pool(features, rois, 5, 1 / 16).dtype == torch.float32
    assert pooled.dtype == aligned.dtype == torch.bfloat16
    # What torchvision does under autocast: float32 inside, then back.
    expected = torchvision.ops.roi_pool(narrow.float(), rois, 5, 1 / 16).bfloat16()
    assert torch.equal(pooled, expected)
    expected = torchvision.ops.roi_align(narrow.float(), rois, 5, 1 / 16, 0, True).bfloat16()
    torch.testing.assert_close(aligned, expected)


# ---- Numbers that are no boxes ---------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_coordinates_that_are_not_finite(
    deterministic: bool,
    ours: Pool,
    theirs: Pool,
    options: tuple[Any, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    device: torch.device,
) -> None:
    features = torch.rand(1, 8, 6, 6, device=device).to(dtype).contiguous(memory_format=layout)
    features.requires_grad_()
    good = [0.0, 16, 16, 48, 48]
    rois = torch.tensor([good] * 9, device=device)
    for column in range(1, 5):
        rois[column, column] = (math.nan, math.inf, -math.inf, math.nan)[column - 1]
        rois[column + 4, column] = math.inf
    pooled = ours(features, rois, 3, 1 / 16, *options)
    assert pooled[1:].isnan().all()
    assert pooled[0].isfinite().all()
    torch.use_deterministic_algorithms(deterministic)
    try:
        pooled.backward(torch.ones_like(pooled))
        assert features.grad is not None
        gradient = features.grad.clone()
        features.grad = None
        ours(features, rois[:1], 3, 1 / 16, *options).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    # The gradient of the good RoI alone.  A GPU adds in any order, so not bit for bit.
    if deterministic or device.type == "cpu":
        assert torch.equal(gradient, features.grad)
    else:
        torch.testing.assert_close(gradient, features.grad)


@pytest.mark.parametrize("far", [1e6, 1e12, 3e38])
def test_far_away_and_huge_boxes(far: float, device: torch.device) -> None:
    features = torch.rand(1, 8, 6, 6, device=device, requires_grad=True)
    rois = torch.tensor([[0, far, far, far, far], [0, -far, -far, -far, -far]], device=device)
    for pooled in (
        roi_pool(features, rois, 3, 1 / 16),
        roi_align(features, rois, 3, 1 / 16, 0, True),
    ):
        assert (pooled == 0).all()
    # A box that holds the whole map in one bin of a 1 x 1 grid.
    rois = torch.tensor([[0, -far, -far, far, far]], device=device)
    pooled = roi_pool(features, rois, 1, 1 / 16)
    assert torch.equal(pooled.flatten(), features.amax((0, 2, 3)))
    pooled.sum().backward()
    assert features.grad is not None
    assert features.grad.sum() == 8
    assert roi_align(features, rois, 2, 1 / 16, 0, True).isfinite().all()
    assert roi_align(features, rois, 2, 1 / 16, 2, True).isfinite().all()


def test_nan_among_the_features(device: torch.device) -> None:
    """NaN never wins; where there is nothing else, the lowest number remains, as in Caffe."""
    features = torch.full((1, 2, 2, 2), math.nan, device=device)
    features[0, 1, 1, 0] = -3
    pooled = roi_pool(features, torch.tensor([[0.0, 0, 0, 1, 1]], device=device), 1, 1.0)
    assert pooled.flatten().tolist() == [torch.finfo(torch.float32).min, -3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": torch.zeros(3, 4, 5)}, r"features must be \[N, C, H, W\]"),
        ({"features": torch.zeros(1, 1, 2, 2, dtype=torch.int32)}, "int32"),
        ({"rois": torch.zeros(3, 4)}, r"are \[3, 4\]"),
        ({"rois": torch.zeros(3, 5, dtype=torch.int64)}, "floating-point"),
        ({"rois": torch.tensor([[1.0, 0, 0, 1, 1]])}, "holds 1, but features hold 1 images"),
        ({"rois": torch.tensor([[-1.0, 0, 0, 1, 1]])}, "holds -1"),
        ({"rois": [torch.zeros(1, 4)] * 2}, "boxes of 2 images and features 1"),
        ({"rois": [torch.zeros(1, 5)]}, r"rois\[0\] must be \[L, 4\]"),
        ({"rois": torch.zeros(1, 5, device="meta")}, "move one of them"),
        ({"output_size": 0}, "output_size"),
        ({"output_size": (3, -1)}, "output_size"),
        ({"spatial_scale": 0.0}, "spatial_scale"),
        ({"spatial_scale": math.nan}, "spatial_scale"),
        ({"bin_step": 0}, "bin_step"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {
        "features": torch.zeros(1, 1, 2, 2),
        "rois": torch.zeros(1, 5),
        "output_size": 2,
        "spatial_scale": 1.0,
    }
    arguments.update(change)
    with pytest.raises(ValueError, match=words):
        roi_pool(**arguments)
    with pytest.raises(ValueError, match=words):
        roi_align(**arguments, sampling_ratio=0, aligned=True)


@compiled
def test_the_operator_itself_refuses_images_that_are_not_there() -> None:
    """Under torch.compile the check of the Python function is left out."""
    with pytest.raises(RuntimeError, match=r"rois\[1, 0\] = 3 is no image"):
        torch.ops.detection.roi_pool(
            torch.zeros(2, 1, 2, 2), torch.tensor([[0.0] * 5, [3.0] * 5]), 1, 1, 1.0, 1
        )


# ---- Backward --------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [5, 64, 80])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.slow
def test_gradient_equals_torchvision(
    ours: Pool,
    theirs: Pool,
    options: tuple[Any, ...],
    layout: torch.memory_format,
    channels: int,
    step: int,
    deterministic: bool,
    device: torch.device,
) -> None:
    # Rounded, so that many cells are equal: the first one gets the gradient.
    features = torch.randn(2, channels, 12, 9).round().contiguous(memory_format=layout)
    rois = torch.cat((random_rois(60, 2, 12, 9), half_cell_rois(60, 2, 12, 9)))
    given = features.detach().clone().to(device).requires_grad_()
    expected = features.detach().clone().requires_grad_()
    torch.use_deterministic_algorithms(deterministic)
    try:
        ours(given, rois.to(device), 7, 1 / 16, *options, step).square().sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    theirs(expected, rois, 7, 1 / 16, *options, step).square().sum().backward()
    assert given.grad is not None
    assert given.grad.is_contiguous(memory_format=layout)
    torch.testing.assert_close(given.grad.cpu(), expected.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("output_size", [1, 2, 3, 5])
def test_gradient_of_bins_of_many_cells(
    output_size: int, dtype: torch.dtype, layout: torch.memory_format, device: torch.device
) -> None:
    """Up to 108 cells a bin: which way the gradient finds its cell depends on their number."""
    features = torch.randn(2, 70, 12, 9).round().to(dtype).contiguous(memory_format=layout)
    features[0, :, 2:5] = math.nan  # never win
    whole = torch.tensor([[0.0, 0, 0, 143, 191], [1, 0, 0, 143, 191]])
    rois = torch.cat((whole, random_rois(30, 2, 12, 9))).to(dtype)
    given = features.detach().clone().to(device).requires_grad_()
    expected = features.detach().clone().requires_grad_()
    pooled = roi_pool(given, rois.to(device), output_size, 1 / 16)
    grad = torch.randn(pooled.shape, dtype=dtype)
    pooled.backward(grad.to(device))
    torchvision.ops.roi_pool(expected, rois, output_size, 1 / 16).backward(grad)
    assert given.grad is not None
    torch.testing.assert_close(given.grad.cpu(), expected.grad, rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.parametrize("output_size", [1, 7])
def test_an_argmax_beyond_the_map_is_no_cell(output_size: int, device: torch.device) -> None:
    rois = torch.tensor([[0.0, 0, 0, 143, 191]], device=device)
    grad = torch.ones(1, 64, output_size, output_size, device=device)
    argmax = torch.full(grad.shape, 200, dtype=torch.uint8, device=device)  # of 12 x 9 = 108 cells
    summed = torch.ops.detection.roi_pool_backward(
        grad, argmax, rois, 1, 12, 9, output_size, output_size, 1 / 16, 1, True, False
    )
    assert (summed == 0).all()


@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_gradients_of_any_strides(
    ours: Pool, theirs: Pool, options: tuple[Any, ...], device: torch.device
) -> None:
    features = torch.randn(1, 16, 12, 9, device=device, requires_grad=True)
    rois = random_rois(20, 1, 12, 9).to(device)
    pooled = ours(features, rois, 4, 1 / 16, *options)
    for grad in (
        torch.randn(20, 16, 1, 1, device=device).expand(-1, -1, 4, 4),
        torch.ones((), device=device).expand(20, 16, 4, 4),
        torch.randn(20, 18, 4, 4, device=device)[:, 1:17],
        torch.randn(20, 4, 4, 16, device=device).permute(0, 3, 1, 2),
    ):
        (one,) = torch.autograd.grad(pooled, features, grad, retain_graph=True)
        (two,) = torch.autograd.grad(pooled, features, grad.clone(), retain_graph=True)
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_gradients_of_16_bits_are_summed_in_32(
    ours: Pool,
    theirs: Pool,
    options: tuple[Any, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    device: torch.device,
) -> None:
    # 400 RoIs on one spot: a bfloat16 sum would stand still at 256.
    features = torch.randn(1, 70, 6, 6, device=device).to(dtype).contiguous(memory_format=layout)
    rois = random_rois(400, 1, 6, 6).to(device)
    narrow, wide = features.clone().requires_grad_(), features.float().requires_grad_()
    pooled = ours(narrow, rois, 7, 1 / 16, *options)
    grad = torch.rand(pooled.shape, device=device).to(dtype).contiguous(memory_format=layout)
    pooled.backward(grad)
    ours(wide, rois, 7, 1 / 16, *options).backward(grad.float())
    assert narrow.grad is not None
    assert wide.grad is not None
    assert narrow.grad.dtype == dtype
    torch.testing.assert_close(narrow.grad, wide.grad.to(dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.slow
def test_gradcheck(layout: torch.memory_format, step: int, device: torch.device) -> None:
    # All cells differ by far more than gradcheck's step, so no maximum changes hands.
    features = torch.randperm(2 * 3 * 5 * 6, device=device).double().reshape(2, 3, 5, 6) / 10
    features = features.contiguous(memory_format=layout).requires_grad_()
    rois = random_rois(6, 2, 5, 6).double().to(device)
    torch.use_deterministic_algorithms(True)
    try:
        torch.autograd.gradcheck(lambda x: roi_pool(x, rois, 3, 1 / 16, step), features)
        torch.autograd.gradcheck(lambda x: roi_align(x, rois, 3, 1 / 16, 0, True, step), features)
    finally:
        torch.use_deterministic_algorithms(False)


@compiled
@pytest.mark.parametrize(
    ("height", "width", "dtype"),
    [
        (15, 17, torch.uint8),  # 255 cells
        (16, 16, torch.int16),
        (255, 257, torch.int16),  # 65,535 cells
        (256, 256, torch.int32),
    ],
)
@pytest.mark.parametrize("feature_dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_argmax_is_of_the_smallest_type(
    height: int, width: int, dtype: torch.dtype, feature_dtype: torch.dtype, device: torch.device
) -> None:
    """The last cell has the largest number; the first RoI lies outside and has no winner."""
    features = torch.zeros(1, 18, height, width, device=device, dtype=feature_dtype)
    features[:, :, -1, -1] = 1
    features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    outside = [0.0, -50, -50, -40, -40]
    rois = torch.tensor([outside, [0, 0, 0, width, height]], device=device)
    pooled, argmax = torch.ops.detection.roi_pool_argmax(features, rois, 1, 1, 1.0, 1)
    assert argmax.dtype == dtype
    assert pooled.flatten().tolist() == [0.0] * 18 + [1.0] * 18
    pooled.sum().backward()
    assert features.grad is not None
    assert features.grad.sum() == 18
    assert (features.grad[:, :, -1, -1] == 1).all()


@compiled
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_results_do_not_depend_on_threads(
    ours: Pool, theirs: Pool, options: tuple[Any, ...]
) -> None:
    features = torch.randn(2, 80, 20, 21).contiguous(memory_format=torch.channels_last)
    features.requires_grad_()
    rois = random_rois(100, 2, 20, 21)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            pooled = ours(features, rois, 7, 1 / 16, *options)
            grad = torch.sin(torch.arange(pooled.numel())).reshape(pooled.shape)
            results.append((pooled, *torch.autograd.grad(pooled, features, grad)))
    finally:
        torch.set_num_threads(before)
    for pooled, gradient in results[1:]:
        assert torch.equal(pooled, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.cuda
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_deterministic_on_cuda(ours: Pool, theirs: Pool, options: tuple[Any, ...]) -> None:
    if isinstance(extension.cuda, str):
        pytest.skip(f"the CUDA kernels: {extension.cuda}")
    features = torch.randn(2, 64, 38, 50, device="cuda", requires_grad=True)
    rois = random_rois(300, 2, 38, 50).cuda()
    pooled = ours(features, rois, 14, 1 / 16, *options)
    grad = torch.randn_like(pooled)
    torch.use_deterministic_algorithms(True)
    try:
        results = [
            torch.autograd.grad(pooled, features, grad, retain_graph=True)[0] for _ in range(5)
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(result, results[0]) for result in results)
    (atomic,) = torch.autograd.grad(pooled, features, grad)
    torch.testing.assert_close(atomic, results[0], rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_second_derivative_is_refused(ours: Pool, theirs: Pool, options: tuple[Any, ...]) -> None:
    features = torch.randn(1, 3, 6, 6, requires_grad=True)
    pooled = ours(features, torch.tensor([[0.0, 0, 0, 50, 50]]), 2, 1 / 16, *options)
    weights = torch.rand_like(pooled).requires_grad_()
    (gradient,) = torch.autograd.grad(pooled, features, weights, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


# ---- torch's machinery -----------------------------------------------------------------------


class Calls(TorchDispatchMode):
    """Records the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@compiled
def test_inference_keeps_no_argmax() -> None:
    features = torch.randn(1, 3, 6, 6, requires_grad=True)
    roi = torch.tensor([[0.0, 0, 0, 50, 50]])
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, Calls() as calls:
            roi_pool(features, roi, 2, 1 / 16)
        assert "detection.roi_pool.default" in calls.names
    with Calls() as calls:
        roi_pool(features, roi, 2, 1 / 16)
    assert "detection.roi_pool_argmax.default" in calls.names


@pytest.mark.slow
@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(layout: torch.memory_format, dtype: torch.dtype, device: torch.device) -> None:
    features = torch.randn(2, 6, 8, 9, device=device).to(dtype)
    features = features.contiguous(memory_format=layout).requires_grad_()
    rois = random_rois(7, 2, 8, 9).to(device)
    ops = torch.ops.detection
    arguments = (features, rois, 5, 4, 1 / 16)
    pooled, argmax = (result.detach() for result in ops.roi_pool_argmax(*arguments, 2))
    last = (layout == torch.channels_last, True)
    backward = (rois, 2, 8, 9, 5, 4, 1 / 16)
    torch.library.opcheck(ops.roi_pool.default, (*arguments, 2))
    torch.library.opcheck(ops.roi_pool_argmax.default, (*arguments, 2))
    torch.library.opcheck(ops.roi_align.default, (*arguments, 0, True, 2))
    # The gradient's gradient is refused, which opcheck's differentiation tests cannot expect.
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        ops.roi_pool_backward.default, (pooled, argmax, *backward, 2, *last), test_utils=tests
    )
    torch.library.opcheck(
        ops.roi_align_backward.default, (pooled, *backward, 0, True, 2, *last), test_utils=tests
    )


@pytest.mark.slow
@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compile_without_graph_break(layout: torch.memory_format, device: torch.device) -> None:
    def step(features: Tensor, boxes: list[Tensor]) -> Tensor:
        pooled = roi_pool(features.relu(), boxes, 5, 1 / 16, bin_step=2)
        aligned = roi_align(features, boxes, 5, 1 / 16, 0, True)
        return (pooled.mean((2, 3)) + aligned.mean((2, 3))).square().sum()

    traced = torch.compile(step, fullgraph=True, dynamic=True, backend="aot_eager")
    for height, width, count in ((8, 9, 6), (11, 7, 3)):
        features = torch.randn(2, 6, height, width, device=device)
        features = features.contiguous(memory_format=layout).requires_grad_()
        boxes = [random_rois(n, 1, height, width)[:, 1:].to(device) for n in (count, 2)]
        expected = step(features, boxes)
        (gradient,) = torch.autograd.grad(expected, features)
        result = traced(features, boxes)
        torch.testing.assert_close(result, expected)
        torch.testing.assert_close(torch.autograd.grad(result, features)[0], gradient)
    with torch.no_grad():
        torch.testing.assert_close(traced(features, boxes), expected.detach())


@compiled
def test_meta_tensors() -> None:
    features = torch.empty(2, 6, 8, 9, device="meta").contiguous(memory_format=torch.channels_last)
    pooled = roi_pool(features, torch.empty(4, 5, device="meta"), (5, 4), 1 / 16, 2)
    assert pooled.shape == (4, 6, 3, 2)
    assert pooled.is_contiguous(memory_format=torch.channels_last)


# ---- What is built ---------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("ours", "theirs", "options"), OPERATORS)
def test_torchvision_takes_the_place_of_missing_kernels(
    ours: Pool,
    theirs: Pool,
    options: tuple[Any, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = torch.randn(2, 8, 12, 9, device=device).to(dtype).contiguous(memory_format=layout)
    rois = random_rois(30, 2, 12, 9).to(device)
    rois[3, 2] = math.nan
    results = []
    for _ in range(2):
        given = features.clone().requires_grad_()
        pooled = ours(given, rois, 5, 1 / 16, *options, 2)
        pooled.nan_to_num(0.0).sum().backward()
        results.append((pooled.detach(), given.grad))
        monkeypatch.setattr(extension, "serves", lambda device: False)
    (pooled, gradient), (fallback, fallback_gradient) = results
    assert fallback.stride() == pooled.stride()
    torch.testing.assert_close(fallback, pooled, equal_nan=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype != torch.bfloat16 else {}
    torch.testing.assert_close(fallback_gradient, gradient, **tolerance)


def test_missing_kernels_are_announced_once(tmp_path: Path) -> None:
    """The module, copied to a folder without binaries."""
    shutil.copy(extension.__file__, tmp_path / "extension.py")
    with pytest.warns(UserWarning, match="torchvision's slower.*install a C") as record:
        module = runpy.run_path(str(tmp_path / "extension.py"))
    assert len(record) == 1
    assert module["cpu"] == "not built"
    assert not module["serves"](torch.device("cpu"))


def test_a_binary_that_cannot_be_loaded_is_no_crash(tmp_path: Path) -> None:
    shutil.copy(extension.__file__, tmp_path / "extension.py")
    (tmp_path / "_cpu.abi3.so").write_bytes(b"no library")
    with pytest.warns(UserWarning, match=r"_cpu\.abi3\.so cannot be loaded"):
        runpy.run_path(str(tmp_path / "extension.py"))


def test_self_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert self_test_main() == 0
    said = capsys.readouterr().out
    assert f"torch {torch.__version__}" in said
    assert "passed" in said


@pytest.mark.slow
@compiled
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 has two versions")
def test_processors_without_avx2_get_the_same_results() -> None:
    if "DETECTION_OPS_ISA" in os.environ:
        pytest.skip("DETECTION_OPS_ISA has chosen the kernels of this process")
    program = (
        "import torch; from tests.ops.test_roi_pool import checksum; "
        f"torch.set_num_threads({torch.get_num_threads()}); print(checksum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"DETECTION_OPS_ISA": "baseline", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    baseline, ours = done.stdout.strip(), checksum()
    assert baseline == ours
    assert len(ours) > 100


def checksum() -> str:
    """All kernels' results in digits."""
    torch.manual_seed(0)
    words = []
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for layout in LAYOUTS:
            features = torch.randn(2, 77, 12, 9).to(dtype).contiguous(memory_format=layout)
            features.requires_grad_()
            rois = random_rois(30, 2, 12, 9)
            pooled = roi_pool(features, rois, 5, 1 / 16)
            aligned = roi_align(features, rois, 5, 1 / 16, 0, True)
            (pooled * 2 + aligned).sum().backward()
            assert features.grad is not None
            for result in (pooled, aligned, features.grad):
                words.append(result.detach().double().sin().sum().item().hex())
    return " ".join(words)


@pytest.mark.parametrize("force_cuda", ["0", "1"])
def test_installing_without_a_compiler(force_cuda: str, tmp_path: Path) -> None:
    """Succeeds with a warning; if CUDA was demanded, it says what is missing."""
    result = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--build-lib", str(tmp_path / "lib"),
         "--build-temp", str(tmp_path / "temp")],
        env={"CXX": "no-such-compiler", "FORCE_CUDA": force_cuda, "PATH": "", "CUDA_HOME": "/no"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert "installed without _cpu: no C++ compiler (CXX=no-such-compiler)" in result.stderr
    assert not list(tmp_path.rglob("*.so"))
    if force_cuda == "0":
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0
        assert "FORCE_CUDA=1, but the CUDA kernels cannot be built" in result.stderr
