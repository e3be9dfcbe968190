"""The rules about pictures: how large they are, how they change, and the anchors that fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from detection.data.repeat_factors import repeat_factors
from detection.engine.recipe.anchor_fit import fit_anchors, mean_overlap, shape_recall
from detection.engine.recipe.recipe import Found, Recipe

# The longest side as a part of the shorter one: the paper's 600 and 1000.
_LONGEST = 5 / 3
# Boxes smaller than two cells of the feature map are hardly seen.
_SEEN = 32
# Where each picture is seen fewer times than this, smaller pictures teach more.
_OFTEN = 10
# Of the picture's size.  More of them bring more sizes, each of which has to be prepared.
_SIZES = (0.7, 1.0, 1.3)
# oneDNN prepares its convolutions for each size that it meets: in steps, few sizes come often.
_SIZE_STEP = 32
# Measured on 40 to 102 pictures; what thousands gain is not known.
_FEW_PICTURES = 1000
# The part of the pictures that a class is in, below which these are drawn more often.
_RARE = 0.1
# How many times as often at most, and the least for which it is done.  In 1,772 photos it was 3.6.
_MOST_OFTEN = 5
_LEAST_OFTEN = 1.1


def picture_size(recipe: Recipe) -> Found:
    """So large that most boxes are seen, as small as the device asks for."""
    least, most = (640, 800) if recipe.device.is_gpu else (320, 480)
    times = recipe.times_seen()
    hurried = not recipe.device.is_gpu and times < _OFTEN
    if hurried:
        most = least
    small = float(np.quantile(recipe.data.relative_sizes(), 0.25))
    shorter = int(np.clip(np.ceil(_SEEN / small / 32) * 32, least, most))
    said = recipe.given("data.shorter_sides")
    sides = sorted(recipe.current("data.shorter_sides")) if said else [shorter]
    middle = sides[len(sides) // 2]
    test = middle if recipe.device.is_gpu else round(1.25 * middle)
    if recipe.given("data.test_shorter_side"):
        test = recipe.current("data.test_shorter_side")
    values = {
        "data.shorter_sides": sides,
        "data.longest": round(max(sides[-1], test) * _LONGEST),
        "data.test_shorter_side": test,
    }
    if said:
        return values, f"the longest side and the size of the test go with the sides {sides}"
    reason = (
        f"a quarter of the boxes are smaller than {100 * small:.0f} % of the picture's shorter "
        f"side, which is {small * shorter:.0f} pixels at {shorter}; "
        + ("a GPU trains" if recipe.device.is_gpu else "a CPU trains")
        + (f" at {least} to {most}" if least < most else f" at {least}")
    )
    if hurried:
        reason += (
            f" where each picture is seen fewer than {_OFTEN} times, as here (about "
            f"{times:.2g} times)"
        )
    if not recipe.device.is_gpu:
        reason += "; it finds more when it tests at 1.25 times its size"
        if not recipe.given("data.size_step"):
            values["data.size_step"] = _SIZE_STEP
            reason += f"; sizes in steps of {_SIZE_STEP} come again, and need less preparing"
    return values, reason


def augmentation(recipe: Recipe) -> Found:
    """Few pictures are seen many times: each time in part, in other colours, at another size."""
    if recipe.data.pictures > _FEW_PICTURES:
        return {}, ""
    values: dict[str, Any] = {"data.crop_probability": 0.5, "data.colour": 0.3}
    done = {
        "data.crop_probability": "half of the time a part of each",
        "data.colour": "other brightness, contrast and saturation",
        "data.shorter_sides": "one of three sizes",
    }
    # Pictures of several sizes are several runs of the network, which a GPU waits for; BN that
    # learns takes them as one, filled up with zeros.
    one_size = recipe.device.is_gpu or recipe.starts_from == "nothing"
    if not one_size and not recipe.given("data.shorter_sides"):
        test = recipe.value("data.test_shorter_side")
        shorter = max(recipe.value("data.shorter_sides"))
        sides = [round(shorter * part) for part in _SIZES]
        values |= {
            "data.shorter_sides": sides,
            "data.longest": round(max(sides[-1], test) * _LONGEST),
            "data.test_shorter_side": test,  # else it would follow the first, the smallest one
        }
    chosen = [words for key, words in done.items() if key in values and not recipe.given(key)]
    return values, f"{recipe.data.pictures} pictures are seen often: " + ", ".join(chosen)


def balance(recipe: Recipe) -> Found:
    """Pictures of rare classes are seen more often, where pictures are many.

    Few are seen thirty times anyway, and the one or two of a rare class learnt by heart.
    """
    shown = recipe.data.shown[:, recipe.data.shown.any(axis=0)]
    if recipe.data.pictures <= _FEW_PICTURES or not shown.size:
        return {}, ""
    part = shown.mean(axis=0)
    threshold = round(min(_RARE, _MOST_OFTEN**2 * part.min()), 4)
    factors = repeat_factors(shown, threshold)
    most = factors.max() / factors.min()
    if most < _LEAST_OFTEN:
        return {}, ""
    return {"data.repeat_threshold": threshold}, (
        f"{(part < threshold).sum()} of {len(part)} classes are in less than "
        f"{100 * threshold:.3g} % of the pictures, the rarest in {shown.sum(axis=0).min()}: "
        f"pictures of such a class are seen more often, up to {most:.1f} times as often as others"
    )


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
        f"boxes are {low:.0f} to {high:.0f} pixels in whole pictures, half of them below "
        f"{middle:.0f}: "
        f"{reached[1]:.0f} % of them overlap one of these anchors by 0.7, and {reached[0]:.0f} % "
        f"one of {before[0]}" + kept
    )
