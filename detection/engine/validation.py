"""What is measured while a detector is trained, and which number decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from detection.data.dataset import DetectionDataset
from detection.data.proposals_file import ProposalsFile
from detection.engine.evaluate import Scores, detect_dataset, measure
from detection.engine.propose import measure_proposals
from detection.evaluation.proposal_recall import ImageProposals, recall_of_taken
from detection.evaluation.table import recall_line
from detection.inference.detector import Detector
from detection.structures import Metrics

# The numbers of a validation that the log and TensorBoard follow.
FOLLOWED = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


@dataclass(frozen=True)
class Goal:
    """The number of a validation that decides which checkpoint is the best."""

    metric: str
    higher_is_better: bool

    def is_better(self, value: float | None, best: float | None) -> bool:
        """Whether ``value`` is better than ``best``; None is worse than any number."""
        if value is None or best is None:
            return best is None
        return value > best if self.higher_is_better else value < best


class Validation(Protocol):
    """Measures the model that is being trained, as it is."""

    @property
    def goal(self) -> Goal: ...

    def __call__(self) -> Metrics:
        """The numbers that the log follows."""

    def entries(self) -> dict[str, Any]:
        """The last call's numbers in full, for metrics.json."""

    def table(self) -> str:
        """The last call's numbers for people."""


@dataclass(frozen=True)
class Measured:
    """What one validation has found, a COCO results list, and its metrics.

    ``proposal_recall``: of the RPN's proposals that were classified.
    """

    detections: list[dict[str, Any]]
    scores: Scores
    proposal_recall: dict[str, float | None]


@dataclass
class DetectionValidation:
    """COCO's and VOC's metrics of a detector on ``dataset``.

    ``detector``: makes one of the model as it is.
    ``proposals``: in place of those of its RPN.
    """

    detector: Callable[[], Detector]
    dataset: DetectionDataset
    proposals: ProposalsFile | None
    batch_size: int
    workers: int
    backend: Literal["hotcoco", "pycocotools"]
    goal: ClassVar[Goal] = Goal("AP", higher_is_better=True)

    def __post_init__(self) -> None:
        self._ground_truth = self.dataset.to_coco()
        self._scores: Scores | None = None
        self._seconds_per_image = 0.0
        self._last: Measured | None = None
        self._best: Measured | None = None

    def __call__(self) -> Metrics:
        began = time.perf_counter()
        taken: dict[int, ImageProposals] = {}
        detections = detect_dataset(
            self.detector(),
            self.dataset,
            batch_size=self.batch_size,
            workers=self.workers,
            proposals=self.proposals,
            taken=taken,
        )
        self._scores = measure(self._ground_truth, detections, backend=self.backend)
        self._seconds_per_image = _per_image(began, self.dataset)
        recall = recall_of_taken(self._ground_truth, taken)
        self._last = Measured(detections, self._scores, recall)
        if self._best is None or self.goal.is_better(
            self._last.scores.coco.AP, self._best.scores.coco.AP
        ):
            self._best = self._last
        metrics = {name: getattr(self._scores.coco, name) for name in FOLLOWED}
        return metrics | {"seconds_per_image": self._seconds_per_image}

    def entries(self) -> dict[str, Any]:
        assert self._scores is not None
        return {
            "coco": self._scores.coco.as_dict(),
            "voc": self._scores.voc.as_dict(),
            "seconds_per_image": self._seconds_per_image,
            **({"proposals": self._last.proposal_recall} if self._last else {}),
        }

    def table(self) -> str:
        assert self._scores is not None
        return self._scores.table()

    def best_or_last(self, best: float | None) -> tuple[Measured, bool]:
        """The validation whose AP is ``best``, and True; the last one, and False, if none here is.

        A run that went on has not seen the validations of the one before.
        """
        assert self._last is not None
        assert self._best is not None
        is_best = best == self._best.scores.coco.AP
        return (self._best if is_best else self._last), is_best

    def last(self) -> Measured | None:
        """What the last call has found."""
        return self._last

    def last_value(self) -> float | None:
        """The last call's AP."""
        return None if self._last is None else self._last.scores.coco.AP


@dataclass
class ProposalValidation:
    """The recall of the RPN's proposals on ``dataset``, where the RPN is trained alone."""

    detector: Callable[[], Detector]
    dataset: DetectionDataset
    batch_size: int
    workers: int
    goal: ClassVar[Goal] = Goal("AR300", higher_is_better=True)

    def __post_init__(self) -> None:
        self._recall: Metrics = {}
        self._seconds_per_image = 0.0

    def __call__(self) -> Metrics:
        began = time.perf_counter()
        self._recall = measure_proposals(
            self.detector(), self.dataset, batch_size=self.batch_size, workers=self.workers
        )
        self._seconds_per_image = _per_image(began, self.dataset)
        return self._recall | {"seconds_per_image": self._seconds_per_image}

    def entries(self) -> dict[str, Any]:
        return {"proposals": self._recall, "seconds_per_image": self._seconds_per_image}

    def table(self) -> str:
        return recall_line(self._recall)


def _per_image(began: float, dataset: DetectionDataset) -> float:
    return round((time.perf_counter() - began) / len(dataset), 4)
