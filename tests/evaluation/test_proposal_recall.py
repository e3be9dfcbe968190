"""Average recall of proposals: by hand, and pycocotools' number without classes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest

from detection.evaluation.proposal_recall import (
    SIZES,
    TOPS,
    ImageProposals,
    proposal_recall,
    recall_of_taken,
)


def ground_truth(*objects: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "categories": [{"id": 3, "name": "car"}, {"id": 5, "name": "cat"}],
        "annotations": [{"id": i, **entry} for i, entry in enumerate(objects, start=1)],
    }


def proposals(boxes: list[list[float]]) -> ImageProposals:
    """Best first."""
    scores = np.arange(len(boxes), 0, -1, dtype=np.float32)
    return ImageProposals(np.array(boxes, dtype=np.float32).reshape(-1, 4), scores)


def test_by_hand() -> None:
    # Two objects.  The first is met exactly: found at all ten thresholds.  The second overlaps
    # with 80 x 100 of 100 x 100 pixels, 0.8: found at 0.50, 0.55, ... 0.75, 0.80, seven of ten.
    truth = ground_truth(
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 100, 100]},
        {"image_id": 9, "category_id": 5, "bbox": [0, 0, 100, 100]},
    )
    found = {7: proposals([[0, 0, 100, 100]]), 9: proposals([[0, 0, 80, 100]])}
    recall = proposal_recall(truth, found)
    assert recall["AR100"] == pytest.approx((10 + 7) / 20)
    assert recall["AR100l"] == recall["AR1000"] == recall["AR100"]
    assert recall["AR100s"] is None


def test_classes_do_not_matter_but_one_proposal_finds_one_object() -> None:
    same = [0, 0, 50, 50]
    truth = ground_truth(
        {"image_id": 7, "category_id": 3, "bbox": same},
        {"image_id": 7, "category_id": 5, "bbox": same},
    )
    assert proposal_recall(truth, {7: proposals([same])})["AR100"] == 0.5
    assert proposal_recall(truth, {7: proposals([same, same])})["AR100"] == 1.0


def test_only_the_best_count() -> None:
    truth = ground_truth({"image_id": 7, "category_id": 3, "bbox": [0, 0, 50, 50]})
    elsewhere = [[200.0, 200, 10, 10]] * 100
    recall = proposal_recall(truth, {7: proposals([*elsewhere, [0, 0, 50, 50]])})
    assert (recall["AR100"], recall["AR300"], recall["AR1000"]) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("count", "tops"), [(0, ()), (1, (100,)), (100, (100,)), (101, (100, 300)), (301, TOPS)]
)
def test_of_those_that_were_taken_no_more_is_said_than_there_are(
    count: int, tops: tuple[int, ...]
) -> None:
    truth = ground_truth({"image_id": 7, "category_id": 3, "bbox": [0, 0, 100, 100]})
    found = {7: proposals([[0, 0, 100, 100]] * count)}
    recall = recall_of_taken(truth, found)
    assert [*recall] == [f"AR{top}{size}" for top in tops for size in SIZES]
    assert all(recall[f"AR{top}"] == 1 for top in tops)


def test_crowds_and_difficult_objects_need_not_be_found() -> None:
    truth = ground_truth(
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 50, 50]},
        {"image_id": 7, "category_id": 3, "bbox": [100, 0, 50, 50], "iscrowd": 1},
        {"image_id": 7, "category_id": 3, "bbox": [0, 100, 50, 50], "difficult": 1},
    )
    assert proposal_recall(truth, {7: proposals([[0, 0, 50, 50]])})["AR100"] == 1.0
    assert proposal_recall(truth, {})["AR100"] == 0.0


def test_proposals_of_unknown_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"image ids \[8\] are not in the ground truth"):
        proposal_recall(ground_truth(), {8: proposals([[0, 0, 5, 5]])})


def pycocotools_recall(
    truth: dict[str, Any], found: dict[int, ImageProposals]
) -> dict[str, float | None]:
    """The same by pycocotools with ``useCats = 0``; AR per size and per number of proposals."""
    results = [
        {"image_id": image, "category_id": 3, "bbox": box, "score": score}
        for image, own in found.items()
        for box, score in zip(own.boxes.tolist(), own.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = pycocotools.coco.COCO()
        wanted.dataset = truth
        wanted.createIndex()
        evaluation = pycocotools.cocoeval.COCOeval(wanted, wanted.loadRes(results), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = list(TOPS)
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"]
    return {
        f"AR{top}{size}": values[values > -1].mean() if (values > -1).any() else None
        for j, top in enumerate(TOPS)
        for i, size in enumerate(SIZES)
        for values in [recall[:, :, i, j]]
    }


@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_says_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    objects, found = [], {}
    for image in (7, 9):
        corners = random.uniform(0, 300, (12, 2))
        boxes = np.concatenate((corners, random.uniform(8, 160, (12, 2))), axis=1)
        objects += [
            {"image_id": image, "category_id": int(random.choice([3, 5])), "bbox": box.tolist(),
             "area": float(box[2] * box[3]), "iscrowd": int(random.random() < 0.1)}
            for box in boxes
        ]  # fmt: skip
        near = np.repeat(boxes, 30, axis=0) + random.normal(0, 8, (360, 4))
        near[:, 2:] = near[:, 2:].clip(min=1)
        scores = random.random(360).astype(np.float32)
        found[image] = ImageProposals(near.astype(np.float32), scores)
    truth = ground_truth(*objects)
    ours, theirs = proposal_recall(truth, found), pycocotools_recall(truth, found)
    assert ours == pytest.approx(theirs)
    assert ours["AR100"] < ours["AR300"]  # type: ignore[operator]
