"""Tiles over a picture, and whole objects out of what they saw (the rule is in tiles.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.ops.nms import class_wise_nms
from detection.structures import Detections

# A candidate reaches a border if it ends within so much of a tile's side of it: regression is not
# exact to the pixel (10 pixels of 1024).
_REACH = 0.01
# The IoU of two pieces, where both tiles see them, from which on they are of one object.
_SAME_OUTLINE = 0.5
# The part of a piece that lies in a better candidate, from which on it is a part of that.
_PART = 0.8
_ROWS = 64  # pieces that are compared with all candidates at a time, so that memory stays bounded

Place = tuple[int, int]  # row and column of a tile


@dataclass(frozen=True)
class Grid:
    """Where the tiles begin.  The last ones are moved back to end with the picture.

    ``xs``, ``ys``: the left and upper borders, in pixels.  ``width``, ``height``: of each tile.
    """

    xs: list[int]
    ys: list[int]
    width: int
    height: int

    @classmethod
    def over(cls, size: tuple[int, int], *, tile: int, overlap: int) -> Grid:
        """Over a picture of ``size`` = (height, width); a tile is no larger than the picture."""
        height, width = min(tile, size[0]), min(tile, size[1])
        step = max(tile - overlap, 1)
        xs, ys = (_starts(side, tile, step) for side in (size[1], size[0]))
        return cls(xs, ys, width, height)

    def tiles(self) -> Iterator[Place]:
        return ((row, column) for row in range(len(self.ys)) for column in range(len(self.xs)))

    def corners(self, place: Place) -> tuple[int, int, int, int]:
        """(x1, y1, x2, y2) in the picture."""
        x, y = self.xs[place[1]], self.ys[place[0]]
        return x, y, x + self.width, y + self.height

    @property
    def reach(self) -> float:
        return max(2.0, _REACH * max(self.width, self.height))


@dataclass(frozen=True)
class Seen:
    """The candidates of one tile, in the picture's pixels."""

    place: Place
    candidates: Detections


def whole_objects(
    grid: Grid, seen: Sequence[Seen], in_whole: Detections, *, nms_iou: float
) -> Detections:
    """The candidates for whole objects.

    ``in_whole``: those that the whole picture has.
    ``nms_iou``: pieces are thinned out within their tile.
    """
    whole = [in_whole]
    pieces: dict[Place, Detections] = {}
    for one in seen:
        dropped, is_piece = _at_borders(grid, one)
        whole.append(one.candidates[~dropped & ~is_piece])
        cut = one.candidates[~dropped & is_piece]
        kept = class_wise_nms(cut.boxes, cut.scores, cut.labels, nms_iou)
        pieces[one.place] = cut[kept]
    complete = _join(whole)
    joined = _best_first(_united(grid, pieces))
    return _join([complete, joined[~_are_parts(joined, complete)]])


def _starts(side: int, tile: int, step: int) -> list[int]:
    if side <= tile:
        return [0]
    return [*range(0, side - tile, step), side - tile]


def _at_borders(grid: Grid, seen: Seen) -> tuple[Tensor, Tensor]:
    """bool [B] twice: which candidates a neighbour sees from their beginning, which are cut."""
    row, column = seen.place
    boxes = seen.candidates.boxes
    dropped = torch.zeros(len(boxes), dtype=torch.bool)
    is_piece = dropped.clone()
    for axis, (starts, number, side) in enumerate(
        ((grid.xs, column, grid.width), (grid.ys, row, grid.height))
    ):
        low, high = boxes[:, axis], boxes[:, axis + 2]
        begin, end = starts[number], starts[number] + side
        if number + 1 < len(starts):
            cut = high > end - grid.reach
            dropped |= cut & (low >= starts[number + 1] + grid.reach)
            is_piece |= cut
        if number > 0:
            cut = low < begin + grid.reach
            dropped |= cut & (high <= starts[number - 1] + side - grid.reach)
            is_piece |= cut
    return dropped, is_piece


def _united(grid: Grid, pieces: dict[Place, Detections]) -> Detections:
    """Pieces that are of one object -> its box."""
    places = [place for place in grid.tiles() if place in pieces]
    offsets, total = {}, 0
    for place in places:
        offsets[place], total = total, total + len(pieces[place])
    group = list(range(total))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    for place in places:
        for neighbour in ((place[0], place[1] + 1), (place[0] + 1, place[1])):
            if neighbour in pieces:
                strip = _common(grid.corners(place), grid.corners(neighbour))
                for mine, other in _pairs(pieces[place], pieces[neighbour], strip):
                    group[root(offsets[place] + mine)] = root(offsets[neighbour] + other)
    every = _join([pieces[place] for place in places])
    members: dict[int, list[int]] = {}
    for index in range(total):
        members.setdefault(root(index), []).append(index)
    united = [every[torch.tensor(indices)] for indices in members.values()]
    return _join([_union(one) for one in united])


def _pairs(
    a: Detections, b: Detections, strip: tuple[float, float, float, float]
) -> Iterator[tuple[int, int]]:
    """Pieces of the same outline in the strip that both tiles see, the best match first."""
    x1, y1, x2, y2 = strip
    lower, upper = torch.tensor([x1, y1, x1, y1]), torch.tensor([x2, y2, x2, y2])
    in_strip = [each.boxes.clamp(min=lower, max=upper) for each in (a, b)]
    overlaps = box_ops.iou(*in_strip) * (a.labels[:, None] == b.labels)
    while overlaps.numel() and float(overlaps.max()) >= _SAME_OUTLINE:
        mine, other = divmod(int(overlaps.argmax()), overlaps.shape[1])
        overlaps[mine], overlaps[:, other] = 0, 0
        yield mine, other


def _union(pieces: Detections) -> Detections:
    best = pieces.scores.argmax()
    corners = torch.cat((pieces.boxes[:, :2].amin(dim=0), pieces.boxes[:, 2:].amax(dim=0)))
    return Detections(corners[None], pieces.scores[best][None], pieces.labels[best][None])


def _are_parts(joined: Detections, complete: Detections) -> Tensor:
    """bool [J]: which of ``joined``, best first, lie in a better candidate of their class."""
    above = _join([complete, joined])
    rank = torch.arange(len(joined))
    found = [torch.zeros(0, dtype=torch.bool)]
    for rows in rank.split(_ROWS):
        mine = joined[rows]
        is_better = above.scores >= mine.scores[:, None]
        is_better[:, len(complete) :] = rank < rows[:, None]  # not itself
        inside = box_ops.coverage(mine.boxes, above.boxes) >= _PART
        found.append((inside & is_better & (above.labels == mine.labels[:, None])).any(dim=1))
    return torch.cat(found)


def _common(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> tuple[float, float, float, float]:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _best_first(detections: Detections) -> Detections:
    return detections[detections.scores.argsort(descending=True, stable=True)]


def _join(parts: Sequence[Detections]) -> Detections:
    if not parts:
        return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    return Detections(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.labels for part in parts]),
    )
