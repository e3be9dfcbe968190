"""Rare classes are seen more often, by the formula of LVIS, and each picture once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.batch_plan import BatchPlan
from detection.data.formats.coco import read_coco
from detection.data.repeat_factors import classes_shown, repeat_factors

Content = dict[str, Any]


def test_the_rarest_class_of_a_picture_decides() -> None:
    shown = np.zeros((100, 3), np.bool_)
    shown[:, 0] = True  # in all: common
    shown[:9, 1] = True  # in 9 %: sqrt(.36 / .09) = 2
    shown[:4, 2] = True  # in 4 %: sqrt(.36 / .04) = 3
    factors = repeat_factors(shown, 0.36)
    np.testing.assert_allclose(factors, [3] * 4 + [2] * 5 + [1] * 91)
    assert (repeat_factors(shown, 0.04) == 1).all()  # none is rarer


def test_pictures_without_objects_and_classes_without_pictures_ask_for_nothing() -> None:
    shown = np.zeros((10, 2), np.bool_)
    shown[:3, 0] = True
    np.testing.assert_allclose(repeat_factors(shown, 0.4), [(0.4 / 0.3) ** 0.5] * 3 + [1] * 7)
    assert repeat_factors(np.zeros((4, 0), np.bool_), 0.5).tolist() == [1, 1, 1, 1]


def test_only_objects_that_are_learnt_count(
    tmp_path: Path, coco: Content, write_coco: Callable[..., Path]
) -> None:
    annotations = write_coco(tmp_path, coco)
    dataset = read_coco(annotations=annotations, images=tmp_path / "train", invalid_boxes="error")
    shown = classes_shown(dataset, ignore_crowd=True, ignore_difficult=True)
    # The car on the toothbrush's picture is a crowd, the cat difficult.
    named = {
        example.path.name: [
            name for name, is_shown in zip(dataset.class_names, row, strict=True) if is_shown
        ]
        for row, example in zip(shown, dataset.examples, strict=True)
    }
    assert named == {"b.jpg": ["toothbrush"], "a.jpg": ["car"], "empty.jpg": []}
    crowds = classes_shown(dataset, ignore_crowd=False, ignore_difficult=True)
    assert crowds.sum() == 3
    assert classes_shown(dataset, ignore_crowd=False, ignore_difficult=False).sum() == 4


def counted(repeats: list[float], *, epochs: int, batch_size: int = 2) -> np.ndarray:
    """How often each picture is drawn; none twice in an epoch."""
    plan = BatchPlan(
        landscape=[True] * len(repeats),
        batch_size=batch_size,
        iterations=0,
        seed=5,
        repeats=np.array(repeats),
    )
    counts = np.zeros(len(repeats), np.int64)
    plan.iterations = epochs * plan.batches_per_epoch
    batches = list(plan)
    for epoch in range(epochs):
        own = batches[epoch * plan.batches_per_epoch : (epoch + 1) * plan.batches_per_epoch]
        keys = [key for batch in own for key in batch]
        assert len(set(keys)) == len(keys)
        counts[[index for _, index in keys]] += 1
    return counts


def test_pictures_are_drawn_as_often_as_they_ask_for() -> None:
    # 4 * 1 + 8 * 1/2 + 16 * 1/4 = 12 pictures an epoch.
    counts = counted([4] * 4 + [2] * 8 + [1] * 16, epochs=400)
    assert (counts[:4] == 400).all()
    assert counts[4:12].sum() == pytest.approx(8 * 200, rel=0.05)
    assert counts[12:].sum() == pytest.approx(16 * 100, rel=0.05)
    assert counts.sum() == 400 * 12
    assert counts[4:12].min() > 150
    assert counts[12:].min() > 60


def test_factors_that_are_alike_change_nothing() -> None:
    plain = BatchPlan(landscape=[True, False] * 9, batch_size=4, iterations=30, seed=2)
    alike = BatchPlan(
        landscape=[True, False] * 9, batch_size=4, iterations=30, seed=2, repeats=np.full(18, 1.7)
    )
    assert list(plain) == list(alike)


def test_all_come_where_the_parts_are_no_whole_number() -> None:
    # 1 + 5 / 3 are 2.67: three pictures an epoch, the rarest in each.
    counts = counted([3] + [1] * 5, epochs=300, batch_size=1)
    assert counts[0] == 300
    assert counts.sum() == 900
    assert counts[1:].min() > 80  # of 120


def test_short_epochs_keep_both_orientations() -> None:
    # 40 of 160 pictures an epoch, of which some 4 are standing: fewer than a mini-batch.
    standing = np.arange(160) % 10 == 0
    plan = BatchPlan(
        landscape=~standing,
        batch_size=8,
        iterations=400 * 5,
        seed=1,
        repeats=np.where(np.arange(160) == 5, 4.0, 1.0),
    )
    counts = np.bincount([index for batch in plan for _, index in batch], minlength=160)
    assert counts[standing].mean() == pytest.approx(counts[~standing].mean(), rel=0.1)


@pytest.mark.parametrize("start", [1, 6, 13])
def test_a_resumed_plan_and_its_processes_draw_the_same(start: int) -> None:
    repeats = np.array([4.0] * 4 + [2.0] * 8 + [1.0] * 16)
    arguments: dict[str, Any] = {
        "landscape": [index % 3 > 0 for index in range(28)],
        "batch_size": 4,
        "iterations": 20,
        "seed": 7,
        "repeats": repeats,
    }
    whole = list(BatchPlan(**arguments))
    assert list(BatchPlan(**arguments, start=start)) == whole[start:]
    parts = [list(BatchPlan(**arguments, rank=rank, world_size=2)) for rank in range(2)]
    shared = [sorted(one + other) for one, other in zip(*parts, strict=True)]
    assert shared == [sorted(batch) for batch in whole]


def test_an_epoch_has_a_mini_batch_at_least() -> None:
    # 1 + 7 / 10 are fewer than a mini-batch of 4: the rarest comes every time, others in turn.
    counts = counted([10] + [1] * 7, epochs=100, batch_size=4)
    assert counts[0] == 100
    assert counts.sum() == 400
    assert counts[1:].min() > 20
    assert (counted([10] + [1] * 7, epochs=10, batch_size=8) == 10).all()
