"""Which images make the mini-batches of a training, in which order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

# (epoch, index of the example), and the shorter side of its mini-batch where that has one.
Key = tuple[int, ...]


class BatchPlan(Sampler[list[Key]]):
    """The mini-batches of a whole training, each of one orientation (landscape or portrait).

    Those of one size go through the network together: of one orientation more are.

    ``landscape``: for each example, whether its image is wider than high.
    ``shapes``: for each example, what those that are always of one size have in common; they come
    together as far as their numbers allow.  None: they come as chance has it.
    ``shorter_sides``: of which each mini-batch has one, as the third number of its keys: one after
    the other, in an order that is drawn anew for each round.  None: keys have two numbers.
    ``repeats``: [N], how often each is drawn, in proportion; None: all alike.  No image is drawn
    twice in an epoch: those of the largest number are in every one, others in some.
    ``batch_size``: images per iteration in all ``world_size`` processes together; process ``rank``
    takes every ``world_size``-th of them.
    ``start``: the iteration to begin with, when training is resumed.
    """

    def __init__(
        self,
        *,
        landscape: Sequence[bool],
        batch_size: int,
        iterations: int,
        seed: int,
        shapes: Sequence[Hashable] | None = None,
        shorter_sides: Sequence[int] | None = None,
        repeats: NDArray[np.float64] | None = None,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(landscape) < batch_size:
            raise ValueError(
                f"a mini-batch of {batch_size} images needs as many in the training set, which has "
                f"{len(landscape)}; set schedule.batch_size lower"
            )
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of the number of processes, "
                f"{world_size}"
            )
        self.landscape = np.asarray(landscape, dtype=bool)
        self._shapes = None if shapes is None else _numbered(shapes)
        self._shorter_sides = shorter_sides
        part = np.ones(len(landscape)) if repeats is None else repeats / repeats.max()
        self.batches_per_epoch = min(
            math.ceil(part.sum() / batch_size - 1e-6), len(landscape) // batch_size
        )
        # In how many epochs each image is; None: in all, but for a few of each, drawn at random,
        # which are too few for a mini-batch.
        self._part = (
            _with_sum(part, self.batches_per_epoch * batch_size) if part.min() < 1 else None
        )
        self.batch_size = batch_size
        self.iterations = iterations
        self.seed = seed
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.iterations - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, batches = -1, np.empty((0, self.batch_size), dtype=np.int64)
        sides: list[tuple[int, ...]] = []
        for iteration in range(self.start, self.iterations):
            if iteration // self.batches_per_epoch != epoch:
                epoch = iteration // self.batches_per_epoch
                batches, sides = self._batches_of(epoch)
            number = iteration % self.batches_per_epoch
            own = batches[number][self.rank :: self.world_size]
            yield [(epoch, int(index), *sides[number]) for index in own]

    def _batches_of(self, epoch: int) -> tuple[NDArray[np.int64], list[tuple[int, ...]]]:
        """[batches_per_epoch, batch_size] indices, and what their keys have besides."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.landscape))
        if self._part is not None:
            order = order[_drawn(self._part[order], random.uniform())]
        # Here, and not of what is left over below: there the same ones would always be too many.
        order = order[: self.batches_per_epoch * self.batch_size]
        used: list[NDArray[np.int64]] = []
        if self._shapes is not None:
            used, rest = self._whole_batches(order, self._shapes)
            order = order[np.isin(order, rest)]  # shuffled, as it was
        alike, rest = self._whole_batches(order, ~self.landscape)
        # The images left over from both orientations form the few mixed batches.
        batches = np.concatenate([*used, *alike, rest]).reshape(-1, self.batch_size)
        batches = random.permutation(batches)
        if self._shorter_sides is None:
            return batches, [()] * len(batches)
        rounds = -(-len(batches) // len(self._shorter_sides))
        drawn = [random.permutation(self._shorter_sides) for _ in range(rounds)]
        return batches, [(int(side),) for side in np.concatenate(drawn)]

    def _whole_batches(
        self, order: NDArray[np.int64], kinds: NDArray[Any]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """For each of ``kinds``, [N], as many images as fill mini-batches; and those left over."""
        groups = [order[kinds[order] == kind] for kind in np.unique(kinds)]
        full = [len(group) // self.batch_size * self.batch_size for group in groups]
        left = [group[n:] for group, n in zip(groups, full, strict=True)]
        return [group[:n] for group, n in zip(groups, full, strict=True)], np.concatenate(left)


def _numbered(shapes: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal numbers for equal ones."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(shape, len(numbers)) for shape in shapes])


def _drawn(part: NDArray[np.float64], offset: float) -> NDArray[np.bool_]:
    """Which of some shuffled images are drawn, each with its part as the probability.

    Systematic sampling: where the sum of the parts passes offset, offset + 1, ...: always as many
    as the whole sum.
    """
    passed = np.floor(np.cumsum(part) - offset)
    passed[-1] = round(part.sum()) - 1  # whatever the rounding of the sum
    return np.diff(passed, prepend=-1.0) > 0


def _with_sum(part: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    """Numbers in (0, 1], in the order of ``part``'s, with this sum; ``wanted`` <= their number."""
    total = part.sum()
    if wanted <= total:
        return part * (wanted / total)
    return part + (1 - part) * ((wanted - total) / (len(part) - total))
