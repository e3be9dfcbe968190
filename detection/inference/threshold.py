"""The score thresholds of one call, above or below those of the post-processing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from numbers import Real

import torch
from torch import Tensor

from detection.inference.class_thresholds import class_thresholds
from detection.inference.steps import PostProcessingStep
from detection.structures import Detections

# One for all classes, or some by their names.
Threshold = float | Mapping[str, float]


@dataclass(frozen=True)
class CallThreshold:
    """``step``: a post-processing that keeps what is asked for.  ``of_labels``: one per class.

    What ``step`` keeps below them is dropped afterwards: boxes are voted on by these, too.
    """

    step: PostProcessingStep
    of_labels: tuple[float, ...]

    @classmethod
    def of(
        cls, given: Threshold | None, step: PostProcessingStep, class_names: Sequence[str]
    ) -> CallThreshold:
        """``step`` itself, or where it would drop what is asked for, one that does not.

        ``given``: classes that it does not name keep the threshold of ``step``; so do all for None.
        Raises ValueError for what is no number in [0, 1], for a name that is no class, and for a
        step whose own threshold is higher and cannot be changed.
        """
        own = getattr(step, "score_threshold", None)
        if given is None:
            return cls(step, (0.0,) * len(class_names))
        if isinstance(given, Mapping):
            others = 0.0 if own is None else own
            table = class_thresholds(given, class_names, others=others, key="threshold")
            return cls(step, table)._lowered(own)
        number = isinstance(given, Real) and not isinstance(given, bool)
        if not number or not 0 <= given <= 1:
            raise ValueError(f"threshold must be a number in [0, 1], got {given!r}")
        return cls(step, (float(given),) * len(class_names))._lowered(own)

    def __call__(self, detections: Detections) -> Detections:
        """Those that reach the thresholds."""
        return detections[detections.scores >= self._wanted(detections.labels)]

    def _wanted(self, labels: Tensor) -> Tensor:
        return torch.tensor(self.of_labels, device=labels.device)[labels - 1]

    def _lowered(self, own: float | Sequence[float] | None) -> CallThreshold:
        if own is None:
            return self
        of_classes = list(own) if isinstance(own, Sequence) else [own] * len(self.of_labels)
        lowered = [min(pair) for pair in zip(of_classes, self.of_labels, strict=True)]
        if lowered == of_classes:
            return self
        if not is_dataclass(self.step) or isinstance(self.step, type):
            raise ValueError(
                f"threshold={min(self.of_labels)}: the detector's {type(self.step).__name__} drops "
                f"scores below {own}"
            )
        same = lowered[0] if len({*lowered}) == 1 else lowered
        return replace(self, step=replace(self.step, score_threshold=same))
