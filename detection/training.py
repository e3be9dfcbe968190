"""Training from Python: what the command ``train`` does, called with arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from detection.cli import train_net
from detection.cli.data_sets import open_split
from detection.cli.from_python import configuration
from detection.data.batch_plan import BatchPlan
from detection.engine.checkpoints import BEST, LAST
from detection.engine.stop import Stopped
from detection.engine.training_run import METRICS
from detection.inference.detector import Detector
from detection.precision import Precision
from detection.user_path import user_path

AnyPath = str | PathLike[str]
# The keys that ``epochs`` stands for, where they are not given.
_EPOCHS = "schedule.recipe.epochs"
_ITERATIONS, _EVALUATE, _CHECKPOINT, _WARMUP, _MILESTONES = (
    "schedule.rules.iterations",
    "schedule.rules.evaluate_every",
    "schedule.rules.checkpoint_every",
    "schedule.learning_rate.warmup_iterations",
    "schedule.learning_rate.milestones",
)


@dataclass(frozen=True)
class TrainedRun:
    """What a training has left in ``folder``.

    >>> from detection import TrainedRun
    >>> run = TrainedRun(Path("outputs/train"))  # an earlier one
    >>> run.checkpoint.name
    'best.pt'
    """

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """best.pt, the best of the validations; last.pt where none could be compared."""
        best, last = Path(self.folder) / BEST, Path(self.folder) / LAST
        return best if best.is_file() or not last.is_file() else last

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: ``coco`` and ``voc`` of the last validation, ``best``, ``seconds`` ..."""
        path = Path(self.folder) / METRICS
        if not path.is_file():
            raise FileNotFoundError(f"{path}: not there: the training has not come to its end")
        content = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content

    def detector(
        self,
        *,
        device: torch.device | str = "auto",
        precision: Precision = "fp32",
        trust: Sequence[str] = (),
    ) -> Detector:
        """The detector of :attr:`checkpoint`; see :meth:`detection.Detector.load`."""
        return Detector.load(self.checkpoint, device=device, precision=precision, trust=trust)


def train(
    data: AnyPath,
    *,
    weights: AnyPath | None = None,
    epochs: float | None = None,
    output_dir: AnyPath | None = None,
    **overrides: Any,
) -> TrainedRun:
    """Trains a detector on a data set's folder, as ``detection train`` does, to the end.

    ``weights``: of the backbone, see docs/weights.md.  Without them and without ``init`` the
    default ``schedule="auto"`` looks for a COCO detector, or else ImageNet weights.
    ``output_dir``: by default outputs/train.
    ``epochs``: as many images as the training set has, so many times; by default as
    ``schedule="auto"`` fits them to the pictures and the time.  With other schedules it validates
    and saves after each epoch where these are not given (unless the configuration validates at the
    end alone), lowers the rate at the same parts of the training, and warms up for a tenth of it at
    most.
    ``overrides``: any other key of docs/configuration.md; with dots as
    ``**{"schedule.batch_size": 4}``.

    It logs by ``logging`` alone, which shows nothing but warnings until
    ``logging.basicConfig(level="INFO")``, and shows a progress bar.  For the process it sets what
    the ``runtime`` keys say (torch's deterministic algorithms, cuDNN).  Ctrl-C saves first, then
    raises KeyboardInterrupt; ``resume=True`` goes on.

    Raises ValueError or FileNotFoundError, with the key or file, for what is wrong with the input,
    FloatingPointError when training diverges.

        >>> from detection import train
        >>> run = train("data", epochs=2, output_dir="outputs/doc")
        >>> sorted(run.metrics["best"]), run.checkpoint.name
        (['AP'], 'best.pt')
        >>> run.detector()("photo.jpg")
        <Result: ... in photo.jpg...>
    """
    paths = {"data.root": data, "weights": weights, "output_dir": output_dir}
    for key, path in paths.items():
        if path is not None and not isinstance(path, (str, PathLike)):
            raise ValueError(f"{key}: a path is needed, got {path!r}")
    expanded = {key: None if p is None else user_path(p) for key, p in paths.items()}
    config = configuration("train", overrides, paths=expanded)
    if epochs is not None:
        config = configuration("train", _in_epochs(config, epochs, overrides), paths=expanded)
    try:
        train_net.main(config)
    except Stopped:
        folder = config.output_dir
        raise KeyboardInterrupt(f"{folder} is saved: go on with resume=True") from None
    return TrainedRun(Path(config.output_dir))


def _in_epochs(config: Any, epochs: float, given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with the iterations of ``epochs``, and with what depends on their number."""
    if isinstance(epochs, bool) or not isinstance(epochs, Real) or not 0 < epochs < inf:
        raise ValueError(f"epochs must be a number above 0, got {epochs!r}")
    if _ITERATIONS in given:
        raise ValueError(f"epochs and {_ITERATIONS} are the same: leave one of them out")
    if config.schedule.recipe is not None:
        return {_EPOCHS: float(epochs), **given}
    images = open_split(config.data, config.data.train_split, check_images=False)
    if not config.data.train_on_empty:
        images = images.without_empty()
    plan = BatchPlan(
        landscape=[True] * len(images),
        batch_size=config.schedule.batch_size,
        iterations=0,
        seed=0,
    )
    iterations = max(1, round(epochs * plan.batches_per_epoch))
    rules, rate = config.schedule.rules, config.schedule.learning_rate
    parts: dict[str, Any] = {_ITERATIONS: iterations}
    if rules.evaluate_every:
        parts[_EVALUATE] = plan.batches_per_epoch
    parts[_CHECKPOINT] = min(rules.checkpoint_every, plan.batches_per_epoch)
    if "warmup_iterations" in rate:
        parts[_WARMUP] = min(rate.warmup_iterations, iterations // 10)
    if "milestones" in rate:
        shorter = iterations / rules.iterations
        falls = {round(shorter * milestone) for milestone in rate.milestones}
        # Of a few iterations some parts are none.
        parts[_MILESTONES] = sorted(fall for fall in falls if 0 < fall < iterations)
    return {**parts, **given}
