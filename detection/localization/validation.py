"""What is measured while a localisation network is trained: its error where the class is known."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from detection.classification.crops import Views
from detection.engine.runtime import Runtime
from detection.engine.validation import Goal
from detection.evaluation.localization import is_wrong
from detection.localization.choice import BoxChoice
from detection.localization.evaluate import localize, truth_of
from detection.localization.localizer import Localizer
from detection.localization.located_images import LocatedImages
from detection.structures import Metrics


@dataclass
class LocalizationValidation:
    """``error_gt_class`` of ``localizer`` on ``dataset``: table 13, "LOC error on GT class"."""

    localizer: Localizer
    dataset: LocatedImages
    views: Views
    choice: BoxChoice
    batch_size: int
    runtime: Runtime
    goal: ClassVar[Goal] = Goal("error_gt_class", higher_is_better=False)

    def __post_init__(self) -> None:
        self._last: Metrics = {}
        self._truth = truth_of(self.dataset)

    def __call__(self) -> Metrics:
        began = time.perf_counter()
        found = localize(
            [self.localizer],
            self.dataset,
            self.dataset.classes[:, None],
            self.views,
            self.choice,
            batch_size=self.batch_size,
            workers=self.runtime.workers,
            device=self.runtime.device,
            precision=self.runtime.precision,
        )
        wrong = is_wrong(self._truth, found.classes, found.boxes)
        seconds = time.perf_counter() - began
        self._last = {
            "error_gt_class": float(wrong.mean()),
            "seconds_per_image": round(seconds / len(self.dataset), 5),
        }
        return self._last

    def entries(self) -> dict[str, Any]:
        return dict(self._last)

    def table(self) -> str:
        return f"localisation error, class known {100 * (self._last['error_gt_class'] or 0):.2f} %"
