"""report.html of a training, and of a test: what the configuration and the folders say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.cli.given import texts
from detection.data.dataset import DetectionDataset
from detection.engine.evaluate import Scores
from detection.engine.log import read_log
from detection.engine.look_back import LookBack, bootstrap_settings
from detection.engine.report_file import common_facts, write_report_file
from detection.report.comparison import OtherRun
from detection.report.measure import Measured
from detection.user_path import user_path

LOG = "log.jsonl"


def report_training(
    config: DictConfig,
    dataset: DetectionDataset,
    detections: Sequence[Mapping[str, Any]],
    scores: Scores,
    found: LookBack | None,
    *,
    checkpoint: Path,
    device: str,
    learnt_from: Mapping[str, int],
    proposal_recall: Mapping[str, float | None],
    next_steps: Sequence[str],
) -> None:
    """Writes it into the run's folder.

    ``dataset``, ``detections``, ``scores``, ``found``, ``proposal_recall``: of the validation that
    it shows, which is that of ``checkpoint``.  ``device``: that has trained.
    ``learnt_from``: class -> boxes of the training set.
    """
    folder = Path(config.output_dir)
    facts = {
        "model": str(checkpoint),
        "trained for": f"{config.schedule.rules.iterations:,} iterations of "
        f"{config.schedule.batch_size} pictures",
        "learnt from": f"{sum(learnt_from.values()):,} boxes",
        **common_facts(seconds_per_image=None, device=device),
    }
    split = _name(config.data.val_split)
    measured = Measured(
        title=_title([checkpoint], config, split),
        dataset=dataset,
        split=split,
        detections=detections,
        coco=scores.coco,
        voc=scores.voc,
        intervals=None if found is None else found.intervals,
        mistakes=None if found is None else found.mistakes,
        learnt_from=learnt_from,
        proposal_recall=proposal_recall,
        log=read_log(folder / LOG),
        facts=facts,
        notes=scores.notes,
        next_steps=next_steps,
    )
    write_report_file(measured, folder, opened=config.open)


def report_test(
    config: DictConfig,
    dataset: DetectionDataset,
    detections: Sequence[Mapping[str, Any]],
    scores: Scores,
    found: LookBack | None,
    *,
    metrics: Mapping[str, Any],
    device: str | None,
    others: Sequence[OtherRun],
    next_steps: Sequence[str],
) -> None:
    """Writes it into the test's folder.

    ``found``: the look back at ``detections``.  ``metrics``: the entries of metrics.json.
    ``device``: that has detected, if one has.  ``others``: runs to compare with.
    """
    folder = Path(config.output_dir)
    given = config.detections if config.checkpoint is None else config.checkpoint
    what = "detections" if config.checkpoint is None else "model"
    facts = {
        what: ", ".join(texts(given)),
        **common_facts(seconds_per_image=metrics.get("seconds_per_image"), device=device),
    }
    split = _name(config.split)
    measured = Measured(
        title=_title([Path(name) for name in texts(given)], config, split),
        dataset=dataset,
        split=split,
        detections=detections,
        coco=scores.coco,
        voc=scores.voc,
        intervals=None if found is None else found.intervals,
        mistakes=None if found is None else found.mistakes,
        log=_log_beside(config.checkpoint),
        proposal_recall=metrics.get("proposals") or {},
        others=others,
        bootstrap=bootstrap_settings(len(detections)),
        facts=facts,
        notes=scores.notes,
        next_steps=next_steps,
    )
    write_report_file(measured, folder, opened=config.open)


def _title(tested: Sequence[Path], config: DictConfig, split: str) -> str:
    """What was tested, by the last two parts of its path, on what."""
    names = " + ".join("/".join(path.parts[-2:]) for path in tested)
    return f"{names} on {user_path(config.data.root).resolve().name}, {split}"


def _name(split: Any) -> str:
    return " + ".join(texts(split))


def _log_beside(checkpoint: Any) -> list[dict[str, Any]]:
    """Of the training that has left the checkpoint, where it still lies in its folder."""
    if not isinstance(checkpoint, str):
        return []
    return read_log(user_path(checkpoint).with_name(LOG))
