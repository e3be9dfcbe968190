"""Each rule: what it chooses from which facts, and that explicit settings win."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from detection.engine.recipe.anchor_fit import fit_anchors, mean_overlap, shape_recall
from detection.engine.recipe.facts import DataFacts, DeviceFacts
from detection.engine.recipe.recipe import Recipe, longest_minutes
from detection.engine.recipe.rules import RULES, fit
from detection.engine.recipe.timing import StepTime, timed

CPU = DeviceFacts(is_gpu=False, memory=0.0)
GPU = DeviceFacts(is_gpu=True, memory=16.0)
# As configs/ have them.
FILES = {
    "data.shorter_sides": [600],
    "data.longest": 1000,
    "data.test_shorter_side": 600,
    "schedule.batch_size": 2,
    "schedule.rules.iterations": 2000,
}


def facts(pictures: int = 100, box: tuple[float, float] = (96, 192)) -> DataFacts:
    """Pictures of 480 x 640, a box of (height, width) in each."""
    return DataFacts(
        sizes=np.tile([480.0, 640.0], (pictures, 1)),
        boxes=np.tile(box, (pictures, 1)).astype(float),
        picture=np.arange(pictures),
        shown=np.ones((pictures, 2), np.bool_),
        validated=20,
    )


def chosen(
    data: DataFacts | None = None,
    device: DeviceFacts = CPU,
    *,
    start: str = "backbone",
    rules: tuple[str, ...] = tuple(name for name in RULES if name != "augmentation"),
    **given: Any,
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for choice in fit(recipe_of(data, device, start=start, **given), rules):
        assert choice.reason
        values |= choice.values
    return values


def recipe_of(
    data: DataFacts | None = None,
    device: DeviceFacts = CPU,
    *,
    start: str = "backbone",
    **given: Any,
) -> Recipe:
    return Recipe(
        data=facts() if data is None else data,
        device=device,
        starts_from=start,
        given=lambda key: key in given,
        current=lambda key: given.get(key, FILES.get(key)),
    )


def test_a_cpu_takes_the_small_network_and_a_gpu_the_whole() -> None:
    small, whole = chosen(), chosen(device=GPU)
    assert small["model.backbone.frozen_stages"] == ["conv1", "conv2", "conv3"]
    assert small["model.roi_head.sampling.per_image"] == 32
    assert "model.backbone.frozen_stages" not in whole
    assert whole["model.roi_head.sampling.per_image"] == 512


def test_random_weights_learn_everywhere() -> None:
    values = chosen(start="nothing")
    assert values["model.backbone.frozen_stages"] == []
    assert values["model.backbone.norm"] == "trained"
    assert values["schedule.learning_rate.reference"] == 0.001
    assert values["schedule.batch_size"] == 8


def test_a_detector_keeps_its_anchors_and_pixels() -> None:
    values = chosen(start="detector")
    assert values["model.rpn.anchors.sizes"] == [32, 64, 128, 256, 512]
    assert values["model.rpn.hidden_channels"] == 1024


@pytest.mark.parametrize(
    ("box", "shorter"),
    [((96, 96), 320), ((38, 38), 416), ((10, 10), 480)],  # 20, 8 and 2 % of 480: 64, 33, 10 pixels
)
def test_small_boxes_take_larger_pictures(box: tuple[float, float], shorter: int) -> None:
    values = chosen(facts(box=box))
    assert values["data.shorter_sides"] == [shorter]
    assert values["data.longest"] == round(1.25 * shorter * 5 / 3)  # of the test, the larger one
    assert values["data.test_shorter_side"] == round(1.25 * shorter)


@pytest.mark.parametrize(
    ("pictures", "given", "shorter"),
    [
        (300, {}, 480),  # 20 minutes are 1714 steps of 2 pictures
        (350, {}, 320),
        (350, {"minutes": 60}, 480),
        (100, {"minutes": 5}, 320),
        (350, {"schedule.recipe.epochs": 10}, 480),
        (100, {"schedule.recipe.epochs": 9}, 320),
        (350, {"schedule.rules.iterations": 1750}, 480),
        (350, {"schedule.rules.iterations": 1740}, 320),
        (350, {"schedule.rules.iterations": 450, "schedule.batch_size": 8}, 480),
    ],
)
def test_pictures_that_are_seen_few_times_are_small(
    pictures: int, given: dict[str, Any], shorter: int
) -> None:
    small = facts(pictures, box=(10, 10))
    assert chosen(small, **given)["data.shorter_sides"] == [shorter]
    (said,) = fit(recipe_of(small, **given), ["picture_size"])
    assert ("fewer than 10 times" in said.reason) == (shorter == 320)
    on_gpu = chosen(small, GPU, **given)  # ten times as fast
    assert on_gpu["data.shorter_sides"] == [800]


def test_the_other_sizes_go_with_one_that_is_given() -> None:
    values = chosen(facts(box=(96, 96)), **{"data.shorter_sides": [800]})
    assert "data.shorter_sides" not in values
    assert (values["data.longest"], values["data.test_shorter_side"]) == (1667, 1000)
    several = chosen(device=GPU, **{"data.shorter_sides": [480, 800, 640]})
    assert (several["data.longest"], several["data.test_shorter_side"]) == (1333, 640)


def test_few_pictures_look_different_each_time() -> None:
    values = chosen(rules=("picture_size", "augmentation"))
    assert values["data.shorter_sides"] == [224, 320, 416]
    assert values["data.longest"] == 693
    assert values["data.test_shorter_side"] == 400  # as without
    assert (values["data.crop_probability"], values["data.colour"]) == (0.5, 0.3)
    assert not chosen(facts(1001), rules=("augmentation",))
    assert chosen()["data.size_step"] == 32
    assert "data.size_step" not in chosen(device=GPU)
    assert "data.size_step" not in chosen(**{"data.shorter_sides": [400]})  # 400 is no multiple
    (own_step,) = fit(recipe_of(facts(), **{"data.size_step": 0}), ["picture_size"])
    assert "in steps of" not in own_step.reason
    given = {"data.shorter_sides": [320], "data.colour": 0.1}
    own = chosen(rules=("picture_size", "augmentation"), **given)
    assert own["data.longest"] == 667
    assert not given.keys() & own.keys()
    for device, start in ((GPU, "backbone"), (CPU, "nothing")):
        apart = chosen(device=device, start=start, rules=("augmentation",))
        assert apart == {"data.crop_probability": 0.5, "data.colour": 0.3}
    tested = {"data.test_shorter_side": 800}
    assert chosen(rules=("picture_size", "augmentation"), **tested)["data.longest"] == 1333


def test_pictures_of_rare_classes_are_seen_more_often() -> None:
    shown = np.ones((2000, 3), np.bool_)
    shown[100:, 1] = shown[200:, 2] = False  # in 5 %, and in 10 %, which is not rare
    some = replace(facts(2000), shown=shown)
    assert chosen(some, rules=("balance",)) == {"data.repeat_threshold": 0.1}
    (choice,) = fit(recipe_of(some), ["balance"])
    assert "1 of 3 classes" in choice.reason
    assert "the rarest in 100:" in choice.reason
    assert "up to 1.4 times" in choice.reason  # sqrt(.1 / .05)
    none = replace(some, shown=shown[:, [0, 2]])
    assert not chosen(none, rules=("balance",))
    unused = replace(some, shown=np.hstack([shown[:, :1], np.zeros((2000, 1), np.bool_)]))
    assert not chosen(unused, rules=("balance",))  # a class without any picture
    many = replace(some, shown=np.eye(20, dtype=np.bool_).repeat(100, axis=0))
    assert not chosen(many, rules=("balance",))  # classes that are alike, none rarer than others
    few = replace(facts(1000), shown=shown[:1000])
    assert not chosen(few, rules=("balance",))


def test_a_single_picture_of_thousands_is_not_learnt_by_heart() -> None:
    shown = np.ones((5000, 2), np.bool_)
    shown[1:, 1] = False
    (choice,) = fit(recipe_of(replace(facts(5000), shown=shown)), ["balance"])
    assert choice.values == {"data.repeat_threshold": 0.005}  # sqrt(.005 * 5000) = 5
    assert "up to 5.0 times" in choice.reason


def test_anchors_are_those_of_the_boxes_at_the_size_of_the_training() -> None:
    # 96 x 192 in 480 x 640 becomes 64 x 128 at 320: a root of 90.5 and a ratio of 0.5.
    values = chosen(facts(box=(96, 192)))
    assert values["model.rpn.anchors.sizes"] == [64, 91, 128]
    assert values["model.rpn.anchors.aspect_ratios"] == [0.5]
    larger = chosen(facts(box=(96, 192)), **{"data.shorter_sides": [480], "data.longest": 800})
    assert larger["model.rpn.anchors.sizes"] == [96, 136, 192]


def test_fitted_anchors_overlap_more() -> None:
    random = np.random.default_rng(0)
    boxes = np.exp(random.normal([3.5, 4.5], 0.4, (500, 2)))  # wide ones
    paper = [64, 128, 256], [0.5, 1.0, 2.0]
    own = fit_anchors(boxes)
    assert mean_overlap(boxes, *own) > mean_overlap(boxes, *paper)
    assert shape_recall(boxes, *own) > shape_recall(boxes, *paper)
    assert shape_recall(np.array([[64.0, 64.0]]), [64], [1.0]) == 1
    # 32 x 64 in 64 x 64: an IoU of a half.
    assert mean_overlap(np.array([[32.0, 64.0]]), [64], [1.0]) == pytest.approx(0.5)


def test_a_batch_is_no_larger_than_the_set_or_the_memory() -> None:
    assert chosen(facts(1))["schedule.batch_size"] == 1
    assert chosen(facts(10), start="nothing")["schedule.batch_size"] == 8
    assert chosen(facts(3), GPU)["schedule.batch_size"] == 3
    gpu = chosen(facts(1000), GPU)  # 16 GiB hold 8 pictures at once
    assert (gpu["schedule.batch_size"], gpu["schedule.rules.accumulate"]) == (16, 2)
    two = DeviceFacts(is_gpu=False, memory=0.0, processes=2)
    assert chosen(device=two)["schedule.batch_size"] == 2


def test_a_gpu_takes_so_many_pictures_as_leave_enough_steps() -> None:
    sizes = {n: chosen(facts(n), GPU)["schedule.batch_size"] for n in (50, 400, 799, 800, 100_000)}
    assert sizes == {50: 4, 400: 8, 799: 8, 800: 16, 100_000: 16}
    assert chosen(facts(50), GPU, start="nothing")["schedule.batch_size"] == 8  # its BN learns


def test_memory_is_counted_for_what_is_said() -> None:
    said = {"schedule.batch_size": 16}
    assert chosen(facts(99), GPU, **said)["schedule.rules.accumulate"] == 2
    large = {"data.shorter_sides": [1131]}  # twice the pixels of 800
    assert chosen(facts(1000), GPU, **large)["schedule.rules.accumulate"] == 4
    steps = {"schedule.rules.iterations": 9000}
    assert chosen(facts(99), GPU, **steps)["schedule.batch_size"] == 16


def test_the_length_follows_the_pictures() -> None:
    assert chosen(facts(200))["schedule.rules.iterations"] == 3000  # 30 times, two at a time
    assert chosen(facts(10))["schedule.rules.iterations"] == 1500
    assert chosen(facts(10), GPU)["schedule.rules.iterations"] == 1500
    few = chosen(facts(10), **{"schedule.recipe.epochs": 4})
    assert few["schedule.rules.iterations"] == 20
    large = chosen(facts(100_000))["schedule.rules.iterations"]
    assert large == 600_000  # 12 times


def test_what_is_said_wins_and_the_rules_after_it_know() -> None:
    values = chosen(**{"schedule.batch_size": 5, "model.rpn.anchors.sizes": [32]})
    assert "schedule.batch_size" not in values
    assert "model.rpn.anchors.sizes" not in values
    assert values["schedule.rules.iterations"] == 1500
    assert values["schedule.learning_rate.reference_batch"] == 5
    assert chosen(**{"schedule.optimizer": "sgd"}).get("schedule.learning_rate.reference") is None


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_off_sets_nothing(rule: str) -> None:
    shown = np.ones((1001, 2), np.bool_)
    shown[50:, 1] = False  # a rare class, for the rule about them
    data = facts() if rule == "augmentation" else replace(facts(1001), shown=shown)
    alone = set(chosen(data, rules=(rule,)))
    without = chosen(data, rules=tuple(name for name in RULES if name != rule))
    assert alone
    others = {key for name in RULES if name != rule for key in chosen(data, rules=(name,))}
    assert not (alone - others) & set(without)


def test_no_boxes_and_one_picture_are_survived() -> None:
    none = DataFacts(
        np.array([[48.0, 64.0]]),
        np.zeros((0, 2)),
        np.zeros(0, np.int64),
        np.zeros((1, 1), np.bool_),
        1,
    )
    values = chosen(none)
    assert "model.rpn.anchors.sizes" not in values
    assert values["schedule.rules.iterations"] == 1500


def test_time_decides_over_the_steps() -> None:
    second = StepTime(step=1.0, picture=0.5, measuring=30.0)
    # 20 minutes are 1200 s: 30 for measuring, 10 for each validation.
    values, reason = timed(second, steps=5000, validated=20, minutes=20, fill=False)
    assert values["schedule.rules.iterations"] == 1090  # 1170 without eight validations
    assert values["schedule.rules.evaluate_every"] == 137  # steps of a second
    assert values["schedule.rules.checkpoint_every"] == 120
    assert "20 minutes" in reason
    enough, _ = timed(second, steps=400, validated=20, minutes=20, fill=False)
    assert enough["schedule.rules.iterations"] == 400
    filled, _ = timed(second, steps=400, validated=20, minutes=20, fill=True)
    assert filled["schedule.rules.iterations"] == 1090


def test_epochs_take_the_time_that_they_take() -> None:
    second = StepTime(step=1.0, picture=0.5, measuring=30.0)
    values, reason = timed(second, steps=5000, validated=20, minutes=inf, fill=False)
    assert values["schedule.rules.iterations"] == 5000
    assert values["schedule.rules.evaluate_every"] == 500
    assert "room for" not in reason


def test_validations_leave_a_short_training_its_steps() -> None:
    second = StepTime(step=0.5, picture=0.5, measuring=9.0)
    short, _ = timed(second, steps=5000, validated=11, minutes=3, fill=True)
    assert short["schedule.rules.iterations"] == short["schedule.rules.evaluate_every"] == 331
    many, _ = timed(second, steps=5000, validated=100, minutes=20, fill=True)
    assert many["schedule.rules.evaluate_every"] >= 0.4 * many["schedule.rules.iterations"]


def test_the_warm_up_is_a_tenth_of_the_iterations_that_are_given() -> None:
    values = chosen(**{"schedule.rules.iterations": 60})
    assert values["schedule.learning_rate.warmup_iterations"] == 6
    assert "schedule.rules.iterations" not in values


def test_a_slow_machine_still_learns_something_unless_time_is_given() -> None:
    slow = StepTime(step=20.0, picture=10.0, measuring=60.0)
    least, _ = timed(slow, steps=1000, validated=20, minutes=20, fill=False)
    assert least["schedule.rules.iterations"] == 200
    asked, _ = timed(slow, steps=1000, validated=20, minutes=20, fill=True)
    assert asked["schedule.rules.iterations"] == 47  # 940 s are left for steps of 20


@pytest.mark.parametrize(("pictures", "minutes"), [(10, 20), (750, 30), (100_000, 60)])
def test_a_training_is_an_hour_at_most(pictures: int, minutes: float) -> None:
    assert longest_minutes(pictures) == minutes
