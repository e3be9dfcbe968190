"""A score threshold for one call, above or below that of the post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from numbers import Real

from detection.inference.steps import PostProcessingStep


def check_threshold(threshold: float) -> None:
    """Raises ValueError unless it is a number in [0, 1]."""
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a number in [0, 1], got {threshold!r}")


def reaching(step: PostProcessingStep, threshold: float) -> PostProcessingStep:
    """``step`` itself, or where it would drop scores of ``threshold`` and more, one that does not.

    What ``step`` keeps below ``threshold`` is dropped later: boxes are voted on by these, too.
    Raises ValueError for a step whose own threshold is higher and cannot be changed.
    """
    own = getattr(step, "score_threshold", None)
    of_classes = isinstance(own, Sequence)
    if own is None or (max(own) if of_classes else own) <= threshold:
        return step
    if not is_dataclass(step) or isinstance(step, type):
        raise ValueError(
            f"threshold={threshold}: the detector's {type(step).__name__} drops scores below {own}"
        )
    lowered = [min(each, threshold) for each in own] if of_classes else threshold
    return replace(step, score_threshold=lowered)
