"""Box voting by hand and against a loop over boxes."""

from __future__ import annotations

import pytest
import torch

from detection.inference.vote import vote
from detection.structures import Detections


def detections(*rows: tuple[list[float], float, int]) -> Detections:
    """(box, score, label) each."""
    boxes, scores, labels = zip(*rows, strict=True)
    return Detections(torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels))


def slow_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union else 0.0


def slow_vote(kept: Detections, candidates: Detections, threshold: float) -> list[list[float]]:
    voted = []
    for box, label in zip(kept.boxes.tolist(), kept.labels.tolist(), strict=True):
        total, mean = 0.0, [0.0] * 4
        for other, score, other_label in zip(
            candidates.boxes.tolist(),
            candidates.scores.tolist(),
            candidates.labels.tolist(),
            strict=True,
        ):
            if other_label == label and slow_iou(box, other) >= threshold:
                total += score
                mean = [m + score * side for m, side in zip(mean, other, strict=True)]
        voted.append([m / total for m in mean] if total else box)
    return voted


def test_by_hand() -> None:
    candidates = detections(
        ([0.0, 0, 10, 10], 0.9, 1),
        ([0.0, 0, 10, 5], 0.3, 1),  # IoU 50 / 100: votes, exactly at the threshold
        ([0.0, 0, 10, 4.9], 0.6, 1),  # 0.49: does not
        ([0.0, 0, 10, 8], 0.8, 2),  # another class: does not
    )
    found = vote(candidates[:1], candidates, 0.5)
    # Lower edge: (0.9 * 10 + 0.3 * 5) / 1.2 = 8.75; the other edges agree.
    assert found.boxes.tolist() == [pytest.approx([0, 0, 10, 8.75])]
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.labels.tolist() == [1]


def test_a_box_alone_stays_where_it_is_even_without_area() -> None:
    alone = detections(([3.0, 4, 30, 40], 0.5, 1), ([5.0, 5, 5, 9], 0.4, 1))
    assert torch.equal(vote(alone, alone, 0.5).boxes, alone.boxes)


def test_nothing_kept_is_nothing_voted() -> None:
    some = detections(([0.0, 0, 10, 10], 0.9, 1))
    assert vote(some[:0], some, 0.5).boxes.shape == (0, 4)
    assert vote(some[:0], some[:0], 0.5).boxes.shape == (0, 4)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_equals_the_loop_over_boxes(threshold: float, device: torch.device) -> None:
    corner = torch.rand(60, 2) * 30
    boxes = torch.cat((corner, corner + 10 + torch.rand(60, 2) * 30), dim=1)
    candidates = Detections(boxes, torch.rand(60), torch.randint(1, 4, (60,)))
    kept = candidates[torch.arange(0, 60, 7)]
    moved = (Detections(*(v.to(device) for v in vars(d).values())) for d in (kept, candidates))
    found = vote(*moved, threshold)
    torch.testing.assert_close(
        found.boxes.cpu(), torch.tensor(slow_vote(kept, candidates, threshold))
    )
    assert torch.equal(found.scores.cpu(), kept.scores)
    assert not torch.equal(found.boxes.cpu(), kept.boxes)
