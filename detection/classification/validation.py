"""What is measured while a classifier is trained: its error, which decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from detection.classification.classifier import Classifier
from detection.classification.crops import Views
from detection.classification.evaluate import measure_error
from detection.classification.images import LabelledImages
from detection.engine.runtime import Runtime
from detection.engine.validation import Goal
from detection.structures import Metrics


@dataclass
class ErrorValidation:
    """The error of ``classifier`` on ``dataset``, over ``views`` of each image."""

    classifier: Classifier
    dataset: LabelledImages
    views: Views
    batch_size: int
    runtime: Runtime
    goal: ClassVar[Goal] = Goal("error", higher_is_better=False)

    def __post_init__(self) -> None:
        self._last: Metrics = {}

    def __call__(self) -> Metrics:
        self._last = measure_error(
            [self.classifier],
            self.dataset,
            self.views,
            batch_size=self.batch_size,
            workers=self.runtime.workers,
            device=self.runtime.device,
            precision=self.runtime.precision,
        )
        return self._last

    def entries(self) -> dict[str, Any]:
        return dict(self._last)

    def table(self) -> str:
        return "   ".join(
            f"{name} {100 * value:.2f} %"
            for name, value in self._last.items()
            if name.startswith("error") and value is not None
        )
