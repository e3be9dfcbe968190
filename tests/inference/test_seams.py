"""Tiles over a picture: objects on their seams are found whole, and once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch

from detection import boxes as box_ops
from detection.inference.post_processing import PostProcessing
from detection.inference.seams import Grid, Seen, whole_objects
from detection.structures import Detections

TILE, OVERLAP = 400, 100
RULE = PostProcessing(score_threshold=0.05, nms_iou=0.3, voting_iou=0.5, per_image=100)


def detections(boxes: Sequence[Sequence[float]], scores: Sequence[float] = ()) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores or [0.9] * len(boxes), dtype=torch.float32),
        torch.ones(len(boxes), dtype=torch.int64),
    )


def looked_at(
    size: tuple[int, int], objects: Sequence[Sequence[float]], in_whole: Sequence[int] = ()
) -> Detections:
    """What a perfect detector finds: in each tile the visible part of each object, 20 pixels up."""
    grid = Grid.over(size, tile=TILE, overlap=OVERLAP)
    seen = []
    for place in grid.tiles():
        x1, y1, x2, y2 = grid.corners(place)
        corner = torch.tensor([x1, y1, x1, y1], dtype=torch.float32)
        visible = box_ops.clip(
            torch.tensor(objects, dtype=torch.float32) - corner, (y2 - y1, x2 - x1)
        )
        keep = (visible[:, 2:] - visible[:, :2] >= 20).all(dim=1)
        # What is cut is less sure.
        scores = 0.5 + 0.4 * box_ops.area(visible) / box_ops.area(torch.tensor(objects)).float()
        seen.append(
            Seen(
                place,
                Detections(visible + corner, scores, torch.ones(len(objects)).long())[
                    keep.nonzero()[:, 0]
                ],
            )
        )
    whole = detections([objects[i] for i in in_whole])
    return RULE.best(whole_objects(grid, seen, whole, nms_iou=0.3))


def assert_found(found: Detections, objects: Sequence[Sequence[float]]) -> None:
    assert sorted(found.boxes.round().tolist()) == sorted([float(x) for x in o] for o in objects)


def test_the_tiles_cover_the_picture_and_overlap() -> None:
    grid = Grid.over((1000, 450), tile=TILE, overlap=OVERLAP)
    assert (grid.xs, grid.ys) == ([0, 50], [0, 300, 600])
    assert Grid.over((300, 1000), tile=TILE, overlap=OVERLAP) == Grid([0, 300, 600], [0], 400, 300)
    assert Grid.over((400, 401), tile=TILE, overlap=0).xs == [0, 1]
    covered = torch.zeros(1000, 450)
    for place in grid.tiles():
        x1, y1, x2, y2 = grid.corners(place)
        covered[y1:y2, x1:x2] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize("x", [0, 260, 301, 330, 355, 370, 395, 399, 600, 680, 920])
@pytest.mark.parametrize("y", [0, 301, 370, 399])
def test_an_object_smaller_than_the_overlap_is_found_whole_and_once(x: int, y: int) -> None:
    one = [x, y, x + 80, y + 80]
    assert_found(looked_at((1000, 1000), [one]), [one])


@pytest.mark.parametrize(
    "box",
    [
        [350, 350, 430, 430],  # a corner of four tiles
        [200, 100, 520, 220],  # longer than the overlap, over one seam
        [100, 100, 950, 220],  # over two seams, longer than two tiles
        [250, 250, 500, 500],  # larger than the overlap, over a corner
        [10, 10, 990, 990],  # over all tiles
        [120, 290, 860, 360],  # long, and within the overlap of two rows
    ],
)
def test_an_object_larger_than_the_overlap_is_put_together(box: list[int]) -> None:
    assert_found(looked_at((1000, 1000), [box]), [box])
    assert_found(looked_at((1000, 1000), [box], in_whole=[0]), [box])


def test_neighbours_on_a_seam_stay_apart() -> None:
    rows = [[250, y, 480, y + 90] for y in (10, 110, 210)]
    small = [[370, y, 440, y + 60] for y in (500, 570, 640)]
    assert_found(looked_at((1000, 1000), rows + small), rows + small)


@pytest.mark.parametrize("seed", range(20))
def test_objects_anywhere_are_found_whole_and_once(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    cells = list(itertools.product(range(0, 900, 150), range(0, 1200, 240)))  # rows and columns
    objects = []
    for y, x in cells:
        w, h = (int(v) for v in 30 + torch.rand(2, generator=random) * torch.tensor([195, 110]))
        objects.append([x, y, x + w, y + h])
    assert_found(looked_at((1000, 1300), objects), objects)


def test_a_piece_without_its_other_half_is_kept() -> None:
    grid = Grid.over((400, 700), tile=TILE, overlap=OVERLAP)
    seen = [Seen((0, 0), detections([[200, 10, 400, 110]])), Seen((0, 1), detections([]))]
    found = whole_objects(grid, seen, detections([]), nms_iou=0.3)
    assert found.boxes.tolist() == [[200, 10, 400, 110]]
    # Unless it is a part of what the whole picture has.
    better = detections([[195, 5, 600, 120]], [0.95])
    assert whole_objects(grid, seen, better, nms_iou=0.3).boxes.tolist() == better.boxes.tolist()


def test_pieces_of_two_classes_are_two_objects() -> None:
    grid = Grid.over((400, 700), tile=TILE, overlap=OVERLAP)
    left, right = detections([[200, 10, 400, 110]]), detections([[300, 10, 500, 110]])
    other = Detections(right.boxes, right.scores, right.labels + 1)
    seen = [Seen((0, 0), left), Seen((0, 1), other)]
    assert len(whole_objects(grid, seen, detections([]), nms_iou=0.3)) == 2


def test_nothing_seen_is_nothing_found() -> None:
    grid = Grid.over((400, 700), tile=TILE, overlap=OVERLAP)
    seen = [Seen(place, detections([])) for place in grid.tiles()]
    assert len(whole_objects(grid, seen, detections([]), nms_iou=0.3)) == 0
