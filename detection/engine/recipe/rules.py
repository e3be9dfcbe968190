"""The recipe: pictures, boxes and device -> values of the configuration, each with its reason.

Pure: nothing is read, measured or written.  Where a rule starts from experiment=r50_c4_small_cpu,
its reason says so: that is the best of what was tried by hand on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from detection.engine.recipe.anchor_fit import fit_anchors, mean_overlap, shape_recall
from detection.engine.recipe.recipe import Choice, Recipe

# The longest side as a part of the shorter one: the paper's 600 and 1000.
_LONGEST = 5 / 3
# Boxes smaller than two cells of the feature map are hardly seen.
_SEEN = 32
_RANDOM = "no pre-trained weights"


Found = tuple[dict[str, Any], str]


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


def picture_size(recipe: Recipe) -> Found:
    """So large that most boxes are seen, as small as the device asks for."""
    least, most = (640, 800) if recipe.device.is_gpu else (320, 480)
    small = float(np.quantile(recipe.data.relative_sizes(), 0.25))
    shorter = int(np.clip(np.ceil(_SEEN / small / 32) * 32, least, most))
    said = recipe.given("data.shorter_sides")
    sides = sorted(recipe.current("data.shorter_sides")) if said else [shorter]
    middle = sides[len(sides) // 2]
    values = {
        "data.shorter_sides": sides,
        "data.longest": round(sides[-1] * _LONGEST),
        "data.test_shorter_side": middle if recipe.device.is_gpu else round(1.25 * middle),
    }
    if said:
        return values, f"the longest side and the size of the test go with the sides {sides}"
    reason = (
        f"a quarter of the boxes are smaller than {100 * small:.0f} % of the picture's shorter "
        f"side, which is {small * shorter:.0f} pixels at {shorter}; "
        + ("a GPU trains" if recipe.device.is_gpu else "a CPU trains")
        + f" at {least} to {most}"
    )
    if not recipe.device.is_gpu:
        reason += ", and finds more when it tests at 1.25 times that"
    return values, reason


def scale_jitter(recipe: Recipe) -> Found:
    """Every picture at one of five sizes, drawn anew each time."""
    shorter = max(recipe.value("data.shorter_sides"))
    sides = [round(shorter * part) for part in (0.8, 0.9, 1.0, 1.1, 1.2)]
    values = {
        "data.shorter_sides": sides,
        "data.longest": round(sides[-1] * _LONGEST),
        # Else it would follow the first, the smallest one.
        "data.test_shorter_side": recipe.value("data.test_shorter_side"),
    }
    return values, "objects come in other sizes than those that were labelled"


def anchors(recipe: Recipe) -> Found:
    """Sizes and ratios of the boxes, where these reach more of them than the present ones."""
    key = "model.rpn.anchors"
    if recipe.starts_from == "detector" or not len(recipe.data.boxes):
        return {}, ""
    sides = recipe.value("data.shorter_sides")
    boxes = recipe.data.scaled(sorted(sides)[len(sides) // 2], recipe.value("data.longest"))
    factor = 1 if recipe.device.is_gpu else 2
    # For pictures of half the paper's size, half its anchors: those of r50_c4_small_cpu.
    before = [size // factor for size in (64, 128, 256, 512)], [0.5, 1.0, 2.0]
    after = fit_anchors(boxes)
    use = max(before, after, key=lambda one: (mean_overlap(boxes, *one), one is before))
    reached = [100 * shape_recall(boxes, *one) for one in (before, after)]
    values = {f"{key}.sizes": use[0], f"{key}.aspect_ratios": use[1]}
    low, middle, high = np.quantile(np.sqrt(boxes.prod(axis=1)), (0.1, 0.5, 0.9))
    kept = "" if use is after else "; the latter are kept, which overlap more on the mean"
    return values, (
        f"boxes are {low:.0f} to {high:.0f} pixels in training, half of them below {middle:.0f}: "
        f"{reached[1]:.0f} % of them overlap one of these anchors by 0.7, and {reached[0]:.0f} % "
        f"one of {before[0]}" + kept
    )


def batch(recipe: Recipe) -> Found:
    """Pictures in a step: what the memory holds, and no more than there are."""
    wanted = 16 if recipe.device.is_gpu else 8 if recipe.starts_from == "nothing" else 2
    processes = recipe.device.processes
    size = max(1, min(wanted, recipe.data.pictures) // processes) * processes
    values: dict[str, Any] = {"schedule.batch_size": size}
    reason = f"{size} pictures a step"
    if recipe.device.is_gpu:
        # Two GiB for a picture of 800 pixels with 512 regions, as detectron2's C4 takes.
        at_once = max(1, int(recipe.device.memory // 2)) * processes
        values["schedule.rules.accumulate"] = min(size, -(-size // at_once))
        reason += f", at most {at_once} of them at once in {recipe.device.memory:.0f} GiB"
    elif recipe.starts_from == "nothing":
        reason += ", as BN that learns needs several"
    else:
        reason += ": on a CPU more steps bring more than larger ones"
    return values, reason


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
    """How many steps, if time allows: each picture thirty times, few ones more often."""
    pictures = recipe.data.pictures
    if recipe.given("schedule.rules.iterations"):
        steps = recipe.current("schedule.rules.iterations")
        times = steps * recipe.value("schedule.batch_size") / max(pictures, 1)
        warmup = {"schedule.learning_rate.warmup_iterations": min(100, steps // 10)}
        return (
            warmup,
            f"{steps} iterations, as given: each of {pictures} pictures {times:.3g} times",
        )
    asked = recipe.current("schedule.recipe.epochs")
    # 12 epochs are enough of COCO's 118,000, 30 of some hundreds.
    epochs = float(np.clip(30 * (1000 / max(pictures, 1)) ** 0.25, 12, 30))
    seen = asked * pictures if asked else max(epochs * pictures, 1500.0)
    steps = max(1, round(seen / recipe.value("schedule.batch_size")))
    values = {
        "schedule.rules.iterations": steps,
        "schedule.learning_rate.warmup_iterations": min(100, steps // 10),
    }
    times = seen / max(pictures, 1)
    return values, f"each of {pictures} pictures {times:.3g} times" + (
        ", as epochs= says" if asked else ", if time allows"
    )


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
    "scale_jitter": scale_jitter,
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
