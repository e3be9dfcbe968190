"""Stopping NMS early gives the identical list."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import batched_nms
from torchvision.ops import nms as torchvision_nms

from detection.ops import nms as nms_module
from detection.ops.nms import class_wise_nms, first_survivors, nms_until


def random_boxes(count: int, spread: float) -> Tensor:
    corner = torch.rand(count, 2) * spread
    return torch.cat((corner, corner + 5 + 40 * torch.rand(count, 2)), dim=1)


def clustered_boxes(count: int) -> Tensor:
    """Ten objects with many proposals each, as the RPN gives them."""
    objects = random_boxes(10, 400)
    return objects[torch.randint(10, (count,))] + 3 * torch.randn(count, 4)


def grid_boxes(count: int) -> Tensor:
    """Whole-numbered boxes with many duplicates and overlaps of exactly 1/2 and 1/3."""
    corner = torch.randint(0, 6, (count, 2)).float() * 5
    return torch.cat((corner, corner + torch.randint(1, 3, (count, 2)) * 10), dim=1)


SETS = {
    "sparse": lambda count: random_boxes(count, 2000),
    "dense": lambda count: random_boxes(count, 60),
    "clustered": clustered_boxes,
    "grid": grid_boxes,
    "one box many times": lambda count: torch.tensor([[3.0, 4, 20, 30]]).repeat(count, 1),
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("chunk", [1, 7, 64, 1024])
@pytest.mark.slow
def test_identical_to_the_start_of_whole_nms(
    kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    monkeypatch.setattr(nms_module, "CHUNK", chunk)
    for seed in range(3):
        torch.manual_seed(seed)
        boxes = SETS[kind](200).to(device)
        for threshold in (0.3, 0.5, 0.7):
            falling = torch.linspace(1, 0, len(boxes), device=device)
            survivors = torchvision_nms(boxes, falling, threshold)
            for limit in (0, 1, chunk - 1, chunk, chunk + 1, len(survivors), 1000):
                assert torch.equal(nms_until(boxes, threshold, limit), survivors[:limit])


@given(
    st.lists(
        st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 8)] * 2), min_size=0, max_size=30
    ),
    st.sampled_from([0.0, 1 / 3, 0.5, 0.7, 1.0]),
    st.integers(0, 12),
    st.integers(1, 12),
)
def test_identical_on_small_integer_boxes(
    rows: list[tuple[int, int, int, int]], threshold: float, limit: int, chunk: int
) -> None:
    # Ties, duplicates, and boxes without area, at every place relative to the chunks.
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows]).float().reshape(-1, 4)
    expected = torchvision_nms(boxes, -torch.arange(len(boxes)).float(), threshold)[:limit]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms_module, "CHUNK", chunk)
        assert nms_until(boxes, threshold, limit).tolist() == expected.tolist()


def test_identical_for_as_many_proposals_as_the_paper_has() -> None:
    boxes = torch.cat((clustered_boxes(3000), random_boxes(3000, 900)))[torch.randperm(6000)]
    falling = torch.linspace(1, 0, 6000)
    expected = torchvision_nms(boxes, falling, 0.7)[:300]
    assert torch.equal(nms_until(boxes, 0.7, 300), expected)


def test_by_hand() -> None:
    # IoU of the 2nd with the 1st: 90 / 110 = 0.82 > 0.7, gone.  Of the 3rd: 50 / 150 = 0.33, stays.
    # The 4th overlaps the 2nd by 80 / 120 = 0.67 and the 1st by 70 / 130 = 0.54: stays.
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 5, 10, 15], [3, 0, 13, 10]])
    assert nms_until(boxes, 0.7, 10).tolist() == [0, 2, 3]
    assert nms_until(boxes, 0.7, 2).tolist() == [0, 2]


def test_survivors_survive_again() -> None:
    boxes = clustered_boxes(300)
    kept = boxes[nms_until(boxes, 0.5, 300)]
    assert nms_until(kept, 0.5, 300).tolist() == list(range(len(kept)))


def test_the_work_stops_when_enough_have_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counting(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        seen.append(len(boxes))
        return torchvision_nms(boxes, scores, threshold)

    monkeypatch.setattr(nms_module, "torchvision_nms", counting)
    monkeypatch.setattr(nms_module, "CHUNK", 10)
    apart = torch.arange(100.0)[:, None] * 20 + torch.tensor([0.0, 0, 10, 10])
    assert nms_until(apart, 0.5, 15).tolist() == list(range(15))
    assert seen == [10, 20]  # ten survivors of the first chunk, ten boxes of the second


def test_no_boxes_give_no_survivors(device: torch.device) -> None:
    assert nms_until(torch.zeros(0, 4, device=device), 0.5, 10).tolist() == []
    none = torch.zeros(0, device=device)
    assert class_wise_nms(torch.zeros(0, 4, device=device), none, none.long(), 0.5).tolist() == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory", [1, 1 << 28])
@pytest.mark.parametrize("kind", SETS)
def test_first_survivors_of_a_batch_are_those_of_each_image(
    kind: str,
    memory: int,
    dtype: torch.dtype,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nms_module, "BYTES_ON_GPU", memory)
    torch.manual_seed(0)
    boxes = torch.stack([SETS[kind](3000) for _ in range(3)]).to(device, dtype)
    usable = (torch.rand(3, 3000) < 0.8).to(device)
    usable[2] = False
    for threshold, limit in ((0.3, 300), (0.7, 2000), (1 / 3, 10)):
        found = first_survivors(boxes, usable, threshold, limit)
        assert len(found) == 3
        for own_boxes, own_usable, survivors in zip(boxes, usable, found, strict=True):
            index = own_usable.nonzero()[:, 0]
            # Of a CPU: on a GPU torchvision fuses products, which moves overlaps at the threshold.
            falling = -torch.arange(len(index), dtype=dtype)
            expected = torchvision_nms(own_boxes[index].cpu(), falling, threshold).to(device)
            assert survivors.equal(index[expected][:limit])


@pytest.mark.parametrize("kind", SETS)
def test_the_compiled_nms_says_what_the_chunks_of_torchvisions_do(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    boxes = torch.stack([SETS[kind](1500) for _ in range(2)])
    usable = torch.rand(2, 1500) < 0.5
    compiled = [first_survivors(boxes, usable, 0.7, limit) for limit in (1, 33, 2000)]
    monkeypatch.setattr(nms_module.extension, "serves", lambda device: False)
    for ours, limit in zip(compiled, (1, 33, 2000), strict=True):
        chunks = first_survivors(boxes, usable, 0.7, limit)
        assert all(a.equal(b) for a, b in zip(ours, chunks, strict=True))


def test_more_boxes_than_the_gpu_takes_at_once(device: torch.device) -> None:
    boxes = random_boxes(nms_module.MOST_ON_GPU + 100, 5000)[None].to(device)
    usable = torch.ones(boxes.shape[:2], dtype=torch.bool, device=device)
    (survivors,) = first_survivors(boxes, usable, 0.9, 50)
    assert survivors.equal(nms_until(boxes[0], 0.9, 50))


def test_class_wise_nms_is_nms_within_each_class_best_score_first(device: torch.device) -> None:
    boxes = clustered_boxes(400).to(device)
    scores = torch.rand(400, device=device)
    labels = torch.randint(1, 5, (400,), device=device)
    kept = class_wise_nms(boxes, scores, labels, 0.5)
    expected = torch.cat(
        [
            of_class[torchvision_nms(boxes[of_class], scores[of_class], 0.5)]
            for of_class in ((labels == label).nonzero()[:, 0] for label in range(1, 5))
        ]
    )
    assert sorted(kept.tolist()) == sorted(expected.tolist())
    assert bool((scores[kept].diff() <= 0).all())


def test_equal_boxes_of_two_classes_both_stay() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3)
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert class_wise_nms(boxes, scores, torch.tensor([1, 2, 1]), 0.3).tolist() == [1, 2]


@pytest.mark.parametrize("count", [1, 300, 1500])  # batched_nms takes another way above 1,000
def test_class_wise_nms_is_torchvisions_batched_nms(count: int, device: torch.device) -> None:
    random = torch.Generator().manual_seed(count)
    corners = torch.rand(count, 2, 2, generator=random).sort(dim=1).values * 300
    boxes = corners.flatten(1).to(device)
    scores = torch.rand(count, generator=random).to(device)
    labels = torch.randint(1, 9, (count,), generator=random).to(device)
    expected = batched_nms(boxes.double(), scores.double(), labels, 0.5)
    assert class_wise_nms(boxes, scores, labels, 0.5).equal(expected)


@pytest.mark.slow
def test_torchvisions_slow_package_is_not_loaded() -> None:
    program = (
        "import sys, torch; from detection.ops.nms import nms_until;"
        "print(nms_until(torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8], [20, 0, 9, 9]]), 0.5, 9));"
        "assert 'torchvision' not in sys.modules"
    )
    run = [sys.executable, "-c", program]
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | paths)
    assert done.stdout == "tensor([0, 2])\n", done.stderr
