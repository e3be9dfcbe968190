"""3x3 convolutions with a quarter to a third of the multiplications.

Lavin and Gray 2015, arXiv:1509.09308.

Winograd's F(4x4, 3x3) computes a 4x4 tile of the output from a 6x6 tile of the input, with 36
multiplications per pair of channels instead of 144, between two small linear maps.  The 36
multiplications are 36 matrix products over all tiles, as fast as any matrix product.  This is for
CPUs, where torch has no such algorithm; on GPUs, cuDNN chooses it where it is faster.

Rounding: in float32, a network's outputs differ from those of direct convolution by some 1e-5 of
the largest value.  That is about three times the difference of direct convolution from float64.

Shapes: x [N, C, H, W], weight [K, C, 3, 3], stride 1, padding 1; T tiles of 4x4 outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TILE = 4
READ = TILE + 2  # the side of the input tile

# The matrices of section 4.3: y = A^T [(G w G^T) * (B^T x B)] A.
_BT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_AT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)

# The number of tiles that go through the products together: 36 x tiles x channels numbers stay in
# the last-level cache, and in memory that the allocator reuses.
TILES_AT_ONCE = 128
# With fewer channels, the linear maps cost more than the products save.
FEWEST_CHANNELS = 128
# In positions of direct convolution, measured with 256 and 512 channels on AVX2: what a tile of 16
# positions takes, and what it takes to transform a weight, or its gradient back.
POSITIONS_OF_TILE = 5
POSITIONS_OF_WEIGHT = 300


def _both_ways(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """The matrix that applies ``rows`` to both sides of a flattened square."""
    one_way = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(one_way, one_way).float()


# [36, 36], [36, 9], [16, 36]
INPUT, WEIGHT, OUTPUT = _both_ways(_BT), _both_ways(_G), _both_ways(_AT)
TURNED_WEIGHT = WEIGHT.flip(1).contiguous()  # of a weight that is turned by 180 degrees


def pays(x: Tensor, weight: Tensor, *, transforms: bool) -> bool:
    """Whether Winograd's algorithm can be used here and is faster than direct convolution.

    ``transforms``: the weight is transformed each time, as in training.
    """
    number, _, height, width = x.shape
    tiles = number * -(-height // TILE) * -(-width // TILE)
    costs = POSITIONS_OF_TILE * tiles + POSITIONS_OF_WEIGHT * transforms
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and not torch.compiler.is_compiling()
        and number * height * width > costs
    )


def transformed(weight: Tensor) -> Tensor:
    """The ``kernel`` of :func:`convolution`: [K, C, 3, 3] -> [36, C, K]."""
    return _mapped(weight, WEIGHT).permute(1, 2, 0)


def _mapped(weight: Tensor, linear: Tensor) -> Tensor:
    """[K, C, 3, 3] by a map [36, 9] of its taps -> [K, 36, C].

    Of a weight in channels_last nothing is copied, and K small products take half the time of one
    large one.
    """
    return torch.matmul(linear, weight.permute(0, 2, 3, 1).reshape(len(weight), 9, -1))


def convolution(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """x [N, C, H, W], ``kernel`` from :func:`transformed`, bias [K] -> [N, K, H, W].

    The result is channels_last and has no gradient (:func:`conv3x3` has one).
    """
    number, _, height, width = x.shape
    channels = kernel.shape[2]
    shape = (number, channels, height, width)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for first, block in _blocks(x):
        tiles = _Tiles(block)
        products = torch.bmm(tiles.input(), kernel)  # [36, T, K]
        outputs = OUTPUT @ products.view(READ * READ, -1)  # [16, T * K]
        square = tiles.assembled(outputs.view(TILE, TILE, *tiles.grid, channels))
        y_block = y[first : first + len(block)].permute(0, 2, 3, 1)
        if bias is None:
            y_block.copy_(square)
        else:
            torch.add(square, bias, out=y_block)
    return y  # not a view: autograd forbids in-place changes of a view that a Function returns


def weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """x [N, C, H, W] and the output's gradient [N, K, H, W] -> the weight's [K, C, 3, 3]."""
    total = x.new_empty(grad.shape[1], READ * READ, x.shape[1])
    products = total.transpose(0, 1)
    for first, block in _blocks(x):
        tiles = _Tiles(block)
        given = tiles.output_gradient(grad[first : first + len(block)])
        # The first block does not read what it replaces.
        products.baddbmm_(given.transpose(1, 2), tiles.input(), beta=1 if first else 0)
    taps = torch.matmul(WEIGHT.t(), total)  # [K, 9, C]
    return taps.view(-1, 3, 3, x.shape[1]).permute(0, 3, 1, 2)


class _Tiles:
    """The tiles of a block of images [n, C, H, W]; ``grid`` = (n, rows, columns) of tiles."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        number, self.channels, self.height, self.width = x.shape
        self.grid = (number, -(-self.height // TILE), -(-self.width // TILE))

    def input(self) -> Tensor:
        """[36, T, C]: B^T x B of every tile."""
        number, rows, columns = self.grid
        padded = self.x.new_zeros(number, rows * TILE + 2, columns * TILE + 2, self.channels)
        padded[:, 1 : self.height + 1, 1 : self.width + 1] = self.x.permute(0, 2, 3, 1)
        image, row, column, _ = padded.stride()
        overlapping = padded.as_strided(
            (READ, READ, *self.grid, self.channels),
            (row, column, image, TILE * row, TILE * column, 1),
        )
        maps = INPUT @ overlapping.reshape(READ * READ, -1)
        return maps.view(READ * READ, -1, self.channels)

    def assembled(self, outputs: Tensor) -> Tensor:
        """[4, 4, n, rows, columns, K] -> [n, H, W, K]."""
        number, rows, columns = self.grid
        square = outputs.permute(2, 3, 0, 4, 1, 5).reshape(
            number, rows * TILE, columns * TILE, outputs.shape[-1]
        )
        return square[:, : self.height, : self.width]

    def output_gradient(self, grad: Tensor) -> Tensor:
        """[n, K, H, W] -> [36, T, K]: A y' A^T of every tile."""
        number, rows, columns = self.grid
        square = grad.new_zeros(number, rows * TILE, columns * TILE, grad.shape[1])
        square[:, : self.height, : self.width] = grad.permute(0, 2, 3, 1)
        split = square.view(number, rows, TILE, columns, TILE, grad.shape[1])
        tiles = split.permute(2, 4, 0, 1, 3, 5).reshape(TILE * TILE, -1)
        return (OUTPUT.t() @ tiles).view(READ * READ, -1, grad.shape[1])


def _blocks(x: Tensor) -> list[tuple[int, Tensor]]:
    """(index of the first image, images) of blocks of about ``TILES_AT_ONCE`` tiles."""
    per_image = -(-x.shape[2] // TILE) * -(-x.shape[3] // TILE)
    size = max(1, TILES_AT_ONCE // per_image)
    return [(first, x[first : first + size]) for first in range(0, len(x), size)]


def conv3x3(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``conv2d(x, weight * scale, shift, padding=1)``, differentiable in ``x`` and ``weight``.

    ``scale``, ``shift``: [K], what a frozen BN multiplies by and adds.  The forward pass keeps
    only ``x``, besides the weight and the scale.
    """
    y: Tensor = _Conv3x3.apply(x, weight, scale, shift)
    return y


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, scale)
        return convolution(x, transformed(weight * scale[:, None, None, None]), shift)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight, scale = ctx.saved_tensors
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            # Also a convolution, with the weight turned by 180 degrees and its channels swapped.
            kernel = _mapped(weight * scale[:, None, None, None], TURNED_WEIGHT).transpose(0, 1)
            for_x = convolution(grad, kernel, None)
        if ctx.needs_input_grad[1]:
            for_weight = weight_gradient(x, grad).mul_(scale[:, None, None, None])
        return for_x, for_weight, None, None
