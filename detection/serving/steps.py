"""The steps of inference (appendix B) that a request may choose: the networks stay the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detection.inference.detector import Detector
from detection.inference.steps import Inference, PostProcessingStep
from detection.inference.threshold import CallThreshold
from detection.structures import Detections

# The name of the detector's own steps, where they are none of the named ones.
OWN = "own"


@dataclass(frozen=True)
class Variant:
    """A detector with the steps of some requests.  ``key``: equal where these are equal."""

    key: tuple[str, float | None]
    detector: Detector

    def detect(self, images: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        return self.detector.detect_prepared(images, sizes)


class Steps:
    """``named``: name -> steps, besides the detector's own.

    ``default``: the name of the detector's own steps.
    """

    def __init__(self, detector: Detector, named: Mapping[str, Inference]) -> None:
        same = [name for name, steps in named.items() if steps == detector.inference]
        self.default = same[0] if same else OWN
        own = {} if same else {OWN: detector.inference}
        self._detectors = {
            name: _with_steps(detector, steps) for name, steps in {**own, **named}.items()
        }

    @property
    def names(self) -> list[str]:
        return [*self._detectors]

    def lowest_score(self, name: str) -> float:
        """What is below it is left out unless a request asks for it."""
        return _threshold(self._detectors[name].inference.post_processing)

    def variant(self, name: str, threshold: float | None) -> Variant:
        """As :meth:`Detector.stream`, which lowers the post-processing's threshold where needed.

        Raises ValueError where that is not possible, and for what is no number in [0, 1].
        """
        detector = self._detectors[name]
        step = detector.inference.post_processing
        lowered = CallThreshold.of(threshold, step, detector.class_names).step
        if lowered is step:
            return Variant((name, None), detector)
        steps = replace(detector.inference, post_processing=lowered)
        return Variant((name, threshold), _with_steps(detector, steps))


def _with_steps(detector: Detector, steps: Inference) -> Detector:
    changed = copy.copy(detector)
    changed.inference = steps
    return changed


def _threshold(step: PostProcessingStep) -> float:
    own = getattr(step, "score_threshold", None) or 0.0
    return float(min(own) if isinstance(own, Sequence) else own)
