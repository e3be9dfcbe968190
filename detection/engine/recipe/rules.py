"""The recipe: pictures, boxes and device -> values of the configuration, each with its reason.

Pure: nothing is read, measured or written.  Where a rule starts from experiment=r50_c4_small_cpu,
its reason says so: that is the best of what was tried by hand on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from detection.engine.recipe.picture_rules import (
    anchors,
    augmentation,
    balance,
    picture_size,
)
from detection.engine.recipe.recipe import Choice, Found, Recipe

# AdamW needs them, however few the pictures: see docs/results.md, on a GPU.
_ENOUGH_STEPS = 1500
# Of memory, for a picture of 800 pixels with 512 regions, as detectron2's C4 takes.
_GIB = 2.0
_RANDOM = "no pre-trained weights"


def network(recipe: Recipe) -> Found:
    """The cost of a step: stages that learn, regions, bins of a region."""
    head, rpn = "model.roi_head", "model.rpn"
    values: dict[str, Any] = {
        "model.backbone.depth": 50,
        f"{rpn}.sampling.cross_boundary": True,
        f"{head}.pooling": "roi_align",
    }
    if recipe.device.is_gpu:
        values |= {f"{head}.sampling.per_image": 512, f"{rpn}.hidden_channels": 1024}
        reason = "ResNet-50, 512 regions a picture, as detectron2's C4 detectors have"
    else:
        values |= {
            "model.backbone.frozen_stages": ["conv1", "conv2", "conv3"],
            f"{rpn}.hidden_channels": 256,
            f"{rpn}.training_proposals.before_nms": 6000,
            f"{rpn}.training_proposals.after_nms": 1000,
            f"{rpn}.test_proposals.after_nms": 100,
            f"{head}.pooled_size": 6,
            f"{head}.sampling.per_image": 32,
            f"{head}.sampling.foreground_fraction": 0.5,
        }
        reason = (
            "a CPU: ResNet-50 with conv1 to conv3 fixed, 32 regions a picture of 6x6 bins, as in "
            "experiment=r50_c4_small_cpu: a tenth of the paper's time"
        )
    if recipe.starts_from == "nothing":
        values |= {"model.backbone.frozen_stages": [], "model.backbone.norm": "trained"}
        reason += f"; {_RANDOM}: all of it learns, BN as well"
    if recipe.starts_from == "detector":
        values |= {
            f"{rpn}.hidden_channels": 1024,
            f"{rpn}.anchors.sizes": [32, 64, 128, 256, 512],
            f"{rpn}.anchors.aspect_ratios": [0.5, 1.0, 2.0],
            f"{rpn}.anchors.centre": 0.0,
            f"{rpn}.anchors.rounded": False,
            "model.pixels.mean": [103.53, 116.28, 123.675],
        }
        reason += "; RPN, anchors and pixels are the detector's that it starts from"
    return values, reason


def batch(recipe: Recipe) -> Found:
    """Pictures in a step: what the memory holds, and no more than there are."""
    processes = recipe.device.processes
    wanted, why = _wanted_batch(recipe)
    size = max(1, min(wanted, recipe.data.pictures) // processes) * processes
    if recipe.given("schedule.batch_size"):
        size, why = recipe.current("schedule.batch_size"), ""
    values: dict[str, Any] = {"schedule.batch_size": size}
    reason = f"{size} pictures a step"
    if recipe.device.is_gpu:
        larger = max(1.0, max(recipe.value("data.shorter_sides")) / 800) ** 2
        at_once = max(1, int(recipe.device.memory / (_GIB * larger))) * processes
        values["schedule.rules.accumulate"] = min(size, -(-size // at_once))
        reason += f", at most {at_once} of them at once in {recipe.device.memory:.0f} GiB"
    return values, reason + why


def _wanted_batch(recipe: Recipe) -> tuple[int, str]:
    trains_bn = recipe.starts_from == "nothing"
    if not recipe.device.is_gpu:
        if trains_bn:
            return recipe.cpu_batch, ", as BN that learns needs several"
        return recipe.cpu_batch, ": on a CPU more steps bring more than larger ones"
    if recipe.given("schedule.rules.iterations"):
        return 16, ""
    seen = _epochs(recipe) * recipe.data.pictures
    for size in (16, 8):
        if seen >= size * _ENOUGH_STEPS:
            return size, ""
    wanted = 8 if trains_bn else 4
    return wanted, f": of 16 there would be {seen / 16:.0f} steps, and more bring more"


def rate(recipe: Recipe) -> Found:
    """AdamW's rate; it does not grow with the mini-batch."""
    if recipe.given("schedule.optimizer"):
        return {}, ""
    reference = 0.001 if recipe.starts_from == "nothing" else 0.0001
    size = recipe.value("schedule.batch_size")
    values = {
        "schedule.learning_rate.reference": reference,
        "schedule.learning_rate.reference_batch": size,
    }
    start = _RANDOM if recipe.starts_from == "nothing" else "pre-trained weights"
    return values, f"AdamW at {reference:g} for {start}, falling to zero in a straight line"


def length(recipe: Recipe) -> Found:
    """How many steps, if time allows: each picture thirty times, and no fewer than are enough."""
    pictures = recipe.data.pictures
    if recipe.given("schedule.rules.iterations"):
        steps = recipe.current("schedule.rules.iterations")
        times = steps * recipe.value("schedule.batch_size") / max(pictures, 1)
        warmup = {"schedule.learning_rate.warmup_iterations": min(100, steps // 10)}
        return (
            warmup,
            f"{steps} iterations, as given: {_each(recipe)} {times:.3g} times",
        )
    asked = recipe.current("schedule.recipe.epochs")
    size = recipe.value("schedule.batch_size")
    steps = max(1, round(_epochs(recipe) * pictures / size))
    if not asked:
        steps = max(steps, _ENOUGH_STEPS)
    values = {
        "schedule.rules.iterations": steps,
        "schedule.learning_rate.warmup_iterations": min(100, steps // 10),
    }
    times = steps * size / max(pictures, 1)
    return values, f"{_each(recipe)} {times:.3g} times" + (
        ", as epochs= says" if asked else ", if time allows"
    )


def _each(recipe: Recipe) -> str:
    on_the_mean = ", on the mean" if recipe.value("data.repeat_threshold") else ""
    return f"each of {recipe.data.pictures} pictures{on_the_mean}"


def _epochs(recipe: Recipe) -> float:
    """As said, or else 12, which are enough of COCO's 118,000, up to 30 of some hundreds."""
    asked: float | None = recipe.current("schedule.recipe.epochs")
    if asked:
        return asked
    return float(np.clip(30 * (1000 / max(recipe.data.pictures, 1)) ** 0.25, 12, 30))


def testing(recipe: Recipe) -> Found:
    """Box refinement, voting and flips: dear, and worth it where steps are few."""
    values = {
        "inference.refinement.passes": 1,
        "inference.post_processing.voting_iou": 0.5,
        "inference.flip": True,
    }
    return (
        values,
        "boxes are refined and vote, with the mirror image too (the paper's appendix B)",
    )


def validation(recipe: Recipe) -> Found:
    """Five times on the way, where the time of a step is not known; see `timed`."""
    steps = recipe.value("schedule.rules.iterations")
    values = {
        "schedule.rules.evaluate_every": -(-steps // 5),
        "schedule.rules.checkpoint_every": max(1, steps // 10),
    }
    return values, "five validations, ten checkpoints"


RULES: Mapping[str, Callable[[Recipe], Found]] = {
    "network": network,
    "picture_size": picture_size,
    "augmentation": augmentation,
    "balance": balance,
    "anchors": anchors,
    "batch": batch,
    "rate": rate,
    "length": length,
    "testing": testing,
    "validation": validation,
}


def fit(recipe: Recipe, rules: Iterable[str]) -> list[Choice]:
    """Applies these rules in their order, each knowing what those before it chose.

    What the user has said is left out of what comes back.
    """
    for name, rule in RULES.items():
        if name not in rules:
            continue
        values, reason = rule(recipe)
        kept = {key: value for key, value in values.items() if not recipe.given(key)}
        if kept:
            recipe.choices.append(Choice(name, kept, reason))
    return recipe.choices
