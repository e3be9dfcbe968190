"""The bootstrap against drawing the images for real and evaluating each drawn data set."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from detection.evaluation import bootstrap
from detection.evaluation.bootstrap import compare, estimate
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.interval import Interval

CATEGORIES = [{"id": 3, "name": "dog"}, {"id": 9, "name": "cat"}]


def scene(
    images: int, seed: int, decimals: int = 12
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Ground truth with crowds and difficult objects, a poor and a better set of detections."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    found: list[list[dict[str, Any]]] = [[], []]
    for image in range(1, images + 1):
        for _ in range(random.integers(0, 4)):
            box = random.uniform((0, 0, 20, 20), (60, 60, 80, 80))
            category = int(random.choice([3, 9]))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box.tolist(),
                    "iscrowd": int(random.random() < 0.1),
                    "difficult": int(random.random() < 0.1),
                }
            )
            for detections, noise in zip(found, (6.0, 2.0), strict=True):
                for _ in range(2):
                    near = box + random.normal(0, noise, 4)
                    score = round(float(random.random()), decimals)
                    detections.append(
                        {
                            "image_id": image,
                            "category_id": int(random.choice([category, 3, 9])),
                            "bbox": near.tolist(),
                            "score": score,
                        }
                    )
    images_ = [
        {"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200}
        for i in range(1, images + 1)
    ]
    ground_truth = {"images": images_, "annotations": annotations, "categories": CATEGORIES}
    return ground_truth, *found


def drawn(
    ground_truth: dict[str, Any], detections: list[dict[str, Any]], counts: np.ndarray
) -> tuple[float, float]:
    """AP and AP50 on a data set that has each image as often as ``counts`` says."""
    copies: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    found = []
    for image, count in zip(ground_truth["images"], counts.tolist(), strict=True):
        for _ in range(count):
            new = {"image_id": len(copies["images"]) + 1}
            copies["images"].append(image | {"id": new["image_id"]})
            for record in ground_truth["annotations"]:
                if record["image_id"] == image["id"]:
                    copies["annotations"].append(
                        record | new | {"id": len(copies["annotations"]) + 1}
                    )
            found += [entry | new for entry in detections if entry["image_id"] == image["id"]]
    ap = evaluate_coco({**copies, "categories": CATEGORIES}, found)
    assert ap.AP is not None
    assert ap.AP50 is not None
    return ap.AP, ap.AP50


def levels(measured: float, resampled: np.ndarray) -> tuple[float, float]:
    """Efron's BC at a confidence of 0.8, whose z is 1.2816, with the normal distribution's erf."""

    def cdf(z: float) -> float:
        return (1 + math.erf(z / math.sqrt(2))) / 2

    below = (resampled < measured - 1e-12).mean()
    bias = min(np.linspace(-1, 1, 200_001), key=lambda z: abs(cdf(z) - below))
    return cdf(2 * bias - 1.2815516), cdf(2 * bias + 1.2815516)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_evaluation_of_every_drawn_data_set(seed: int) -> None:
    ground_truth, poor, better = scene(12, seed)
    found = compare(ground_truth, poor, better, resamples=20, confidence=0.8, seed=seed)

    draws = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=20)
    slow = np.array(
        [
            np.subtract(drawn(ground_truth, better, counts), drawn(ground_truth, poor, counts))
            for counts in draws
        ]
    )
    whole = np.ones(12, dtype=int)
    own = np.subtract(drawn(ground_truth, better, whole), drawn(ground_truth, poor, whole))
    for number, interval in enumerate((found.AP, found.AP50)):
        assert interval.difference == pytest.approx(own[number], abs=1e-12)
        low, high = np.quantile(slow[:, number], levels(own[number], slow[:, number]))
        low, high = min(low, own[number]), max(high, own[number])
        assert interval.low == pytest.approx(low, abs=1e-5)
        assert interval.high == pytest.approx(high, abs=1e-5)
    assert found.AP.low < found.AP.high


def test_equal_scores_are_ordered_as_the_evaluation_orders_them() -> None:
    ground_truth, poor, better = scene(12, 0, decimals=1)
    found = compare(ground_truth, poor, better, resamples=1, confidence=0.8, seed=0)
    a, b = (evaluate_coco(ground_truth, detections) for detections in (poor, better))
    assert found.AP.difference == pytest.approx(b.AP - a.AP, abs=1e-12)  # type: ignore[operator]


@pytest.mark.slow
def test_intervals_hold_the_ap_of_very_many_images_on_both_sides() -> None:
    """60 images are all that there are; sets of 30 of them are drawn, and tested."""
    ground_truth, _, better = scene(60, 3)
    population = estimate(ground_truth, better, resamples=1, confidence=0.8, seed=0).AP.value
    matches = list(bootstrap._matches(ground_truth, better))
    random = np.random.default_rng(0)
    lies = {"within": 0, "below": 0, "above": 0}
    plain = dict(lies)
    for counts in random.multinomial(30, np.full(60, 1 / 60), size=150):
        draws = random.multinomial(30, counts / 30, size=100)
        aps = bootstrap._average_precisions(matches, np.concatenate((counts[None], draws)))
        found = Interval.of(aps.mean(axis=1), 0.8)
        low, high = np.quantile(aps[1:].mean(axis=1), (0.1, 0.9))
        for ends, counted in (((found.low, found.high), lies), ((low, high), plain)):
            where = (
                "below" if population < ends[0] else "above" if population > ends[1] else "within"
            )
            counted[where] += 1
    assert lies["within"] > 1.15 * plain["within"]
    assert lies["within"] > 0.7 * 150
    assert abs(lies["below"] - lies["above"]) < abs(plain["below"] - plain["above"])


def test_two_images_by_hand() -> None:
    # Each image has one dog.  The first set finds both, the second only the first one.
    dog = {"category_id": 3, "bbox": [0.0, 0, 10, 10]}
    ground_truth = {
        "images": [{"id": i, "file_name": f"{i}", "width": 20, "height": 20} for i in (1, 2)],
        "annotations": [{"id": i, "image_id": i, **dog} for i in (1, 2)],
        "categories": CATEGORIES,
    }
    both = [{"image_id": i, "score": 0.5, **dog} for i in (1, 2)]
    found = compare(ground_truth, both, both[:1], resamples=200, confidence=0.9, seed=0)
    # On the data itself the second reaches the recalls 0, 0.01, ..., 0.5: 51 of 101 levels.
    assert found.AP.difference == pytest.approx(51 / 101 - 1)
    # Of four equally likely draws, one has the second image twice (0 - 1), one the first (1 - 1).
    assert (found.AP50.low, found.AP50.high) == (-1, 0)


def test_the_same_detections_do_not_differ() -> None:
    ground_truth, _, better = scene(8, 0)
    found = compare(ground_truth, better, better, resamples=10, confidence=0.95, seed=0)
    assert (found.AP.difference, found.AP.low, found.AP.high) == (0, 0, 0)


def test_the_seed_decides_the_draws() -> None:
    ground_truth, poor, better = scene(8, 0)
    a, again, b = (
        compare(ground_truth, poor, better, resamples=10, confidence=0.95, seed=seed)
        for seed in (0, 0, 1)
    )
    assert a == again
    assert a.AP.low != b.AP.low


def test_no_detections_at_all_is_a_set_like_any_other() -> None:
    ground_truth, poor, _ = scene(8, 0)
    found = compare(ground_truth, poor, [], resamples=10, confidence=0.95, seed=0)
    assert found.AP.difference < 0


def test_without_an_object_there_is_no_difference_to_speak_of() -> None:
    ground_truth, poor, better = scene(3, 0)
    empty = {**ground_truth, "annotations": []}
    with pytest.raises(ValueError, match="no object to be found"):
        compare(empty, poor, better, resamples=10, confidence=0.95, seed=0)


@pytest.mark.parametrize(("resamples", "confidence"), [(0, 0.95), (10, 1.0)])
def test_an_impossible_request_is_refused(resamples: int, confidence: float) -> None:
    ground_truth, poor, better = scene(3, 0)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        compare(ground_truth, poor, better, resamples=resamples, confidence=confidence, seed=0)


def test_the_ap_of_one_set_has_the_interval_of_the_same_draws() -> None:
    truth, first, _ = scene(12, seed=3)
    settings = {"resamples": 40, "confidence": 0.9, "seed": 5}
    counts = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=40)
    values = np.array([drawn(truth, first, each) for each in counts])
    found = estimate(truth, first, **settings)  # type: ignore[arg-type]
    coco = evaluate_coco(truth, first)
    assert coco.AP is not None
    for one, each in zip((found.AP, found.AP50), values.T, strict=True):
        expected = Interval.of(np.array([one.value, *each]), 0.9)
        assert (one.low, one.high) == pytest.approx((expected.low, expected.high))
    for name, value in asdict(found).items():
        assert value["value"] == pytest.approx(getattr(coco, name), abs=1e-9)
        assert value["low"] <= value["value"] <= value["high"]
    assert found.AP75.value < found.AP50.value
    assert str(found.AP).startswith(f"{100 * coco.AP:.1f} (")
