"""What a training, and a test, say at their end: how good, on what not, and what to do next."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.engine.checkpoints import BEST, LAST
from detection.engine.look_back import LookBack, look_back
from detection.engine.validation import DetectionValidation
from detection.evaluation.weak_classes import WeakClass, weak_class_table

log = logging.getLogger("test")


def report_of_training(
    config: DictConfig, validation: DetectionValidation, boxes: Mapping[str, int]
) -> Callable[[float | None], dict[str, Any]]:
    """What :class:`detection.engine.training_run.TrainingRun` calls at its end.

    ``boxes``: class -> those of the training set.
    """
    folder = Path(config.output_dir)

    def report(best: float | None) -> dict[str, Any]:
        measured, is_best = validation.best_or_last(best)
        found = look_back(
            validation.dataset, measured.detections, measured.coco, folder, boxes=boxes
        )
        if found is None:
            return {}
        checkpoint = folder / (BEST if is_best else LAST)
        _say(f"{'the best model' if is_best else 'the last model'}: {checkpoint}", found)
        if not is_best and best is not None:
            log.info(
                "(%s, AP %.1f, was measured before this run went on; detection test %s says its "
                "mistakes)", folder / BEST, 100 * best, folder / BEST,
            )  # fmt: skip
        log.info("\nNext, in pictures of your own:\n  %s", _detect(folder / BEST, found.score))
        helps = [
            *_longer(config, validation, best),
            *_more_boxes(found.weak),
            *_larger(config, found.weak),
        ]
        if helps:
            log.info("What may help:\n%s", "\n".join(f"  {line}" for line in helps))
        return {"look_back": {"checkpoint": checkpoint.name, **found.entries(folder)}}

    return report


def report_of_test(checkpoint: str | Sequence[str] | None, found: LookBack) -> None:
    """``checkpoint``: what was tested, if that was no file of detections."""
    _say("measured", found)
    if isinstance(checkpoint, str):
        log.info("\nNext, in pictures of your own:\n  %s", _detect(checkpoint, found.score))


def _say(what: str, found: LookBack) -> None:
    log.info("\n%s, AP %s: 95 %% interval in brackets", what, found.AP)
    number = len(found.weak)
    which = f"The {number} classes with the lowest AP" if number > 1 else "The class"
    log.info(
        "\n%s, at scores from %.2f on (%s):\n%s",
        which,
        found.score,
        "the best F1" if found.any_right else "none finds an object yet",
        weak_class_table(found.weak),
    )
    if found.sheet is not None:
        log.info(
            "\nThe %d pictures with the most mistakes, as labelled (dashed) beside what was "
            "found:\n  %s\n  one by one in %s",
            len(found.pictures),
            found.sheet,
            found.pictures[0].parent,
        )


def _detect(checkpoint: Path | str, score: float) -> str:
    """The command, called as this one was."""
    program = Path(sys.argv[0])
    script = program.with_name("detect.py")
    called = f"python {shlex.quote(str(script))}" if script.is_file() else "detection detect"
    return f"{called} {shlex.quote(str(checkpoint))} my_pictures/ draw_score={score:.2f}"


def _longer(config: DictConfig, validation: DetectionValidation, best: float | None) -> list[str]:
    """Where the last validation was the best one."""
    if best is None or validation.last_value() != best:
        return []
    iterations = 2 * config.schedule.rules.iterations
    # A rate that falls up to the last iteration is another one in a longer training.
    changes = " resume_with_changes=true" * ("iterations" in config.schedule.learning_rate)
    return [
        "longer: the last validation was the best; the same command with resume=true "
        f"schedule.rules.iterations={iterations}{changes}"
    ]


def _more_boxes(weak: Sequence[WeakClass]) -> list[str]:
    few = [f"{one.name} ({one.boxes})" for one in weak if one.has_few]
    return [f"more boxes to learn from of {', '.join(few)}"] if few else []


def _larger(config: DictConfig, weak: Sequence[WeakClass]) -> list[str]:
    small = [one.name for one in weak if one.is_small]
    if not small:
        return []
    side = config.data.test_shorter_side
    return [
        f"larger pictures, for {', '.join(small)}: a new training with data.shorter_sides=[...], "
        f"data.test_shorter_side above {side} and data.longest above {config.data.longest}"
    ]
