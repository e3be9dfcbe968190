"""What a training, and a test, say at their end: how good, on what not, and what to do next."""

from __future__ import annotations

import logging
import math
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.cli.report_page import report_training
from detection.engine.checkpoints import BEST, LAST
from detection.engine.look_back import LookBack, look_back
from detection.engine.validation import DetectionValidation
from detection.evaluation.weak_classes import WeakClass, weak_class_table

log = logging.getLogger("test")

# In a command; with more classes nobody reads them.
MOST_THRESHOLDS = 12
# A name that stands in an override as it is: no number, and none of Hydra's words.
_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)[a-z][\w -]*", re.ASCII | re.IGNORECASE)


def report_of_training(
    config: DictConfig, validation: DetectionValidation, boxes: Mapping[str, int], device: str
) -> Callable[[float | None], dict[str, Any]]:
    """What :class:`detection.engine.training_run.TrainingRun` calls at its end.

    ``boxes``: class -> those of the training set.  ``device``: that trains.
    """
    folder = Path(config.output_dir)

    def report(best: float | None) -> dict[str, Any]:
        measured, is_best = validation.best_or_last(best)
        detections, scores = measured.detections, measured.scores
        found = look_back(validation.dataset, detections, scores.coco, folder, boxes=boxes)
        checkpoint = folder / (BEST if is_best else LAST)
        steps: list[str] = []
        if found is not None:
            _say(f"{'the best model' if is_best else 'the last model'}: {checkpoint}", found)
            if not is_best and best is not None:
                log.info(
                    "(%s, AP %.1f, was measured before this run went on; detection test %s says "
                    "its mistakes)", folder / BEST, 100 * best, folder / BEST,
                )  # fmt: skip
            steps = _next_steps(config, validation, best, found)
        if config.report:
            report_training(
                config,
                validation.dataset,
                detections,
                scores,
                found,
                checkpoint=checkpoint,
                device=device,
                learnt_from=boxes,
                proposal_recall=measured.proposal_recall,
                next_steps=steps,
            )
        if found is None:
            return {}
        return {"look_back": {"checkpoint": checkpoint.name, **found.entries(folder)}}

    return report


def _next_steps(
    config: DictConfig, validation: DetectionValidation, best: float | None, found: LookBack
) -> list[str]:
    """Says them, too."""
    detects = _next(Path(config.output_dir) / BEST, found)
    helps = [
        *_longer(config, validation, best),
        *_more_boxes(found.weak),
        *_larger(config, found.weak),
    ]
    if helps:
        log.info("What may help:\n%s", "\n".join(f"  {_plain(line)}" for line in helps))
    return [*detects, *(f"{line[0].upper()}{line[1:]}" for line in helps)]


def report_of_test(checkpoint: str | Sequence[str] | None, found: LookBack) -> list[str]:
    """Says what was found, and returns what is to do next.

    ``checkpoint``: what was tested, if that was no file of detections.
    """
    _say("measured", found)
    return _next(checkpoint, found) if isinstance(checkpoint, str) else []


def _next(checkpoint: Path | str, found: LookBack) -> list[str]:
    """What to do with the checkpoint; says the first."""
    command = _detect(checkpoint, f"draw_score={_at_most(found.mistakes.score):g}")
    log.info("\nNext, in pictures of your own:\n  %s", command)
    steps = [f"In pictures of your own: `{command}`"]
    thresholds = _thresholds(found)
    if thresholds is not None:
        by_class = _detect(checkpoint, shlex.quote(thresholds))
        steps.append(f"Every class from its own threshold on: `{by_class}`")
    return steps


def _thresholds(found: LookBack) -> str | None:
    """An override; None where it would be too long, or say nothing."""
    scores = {
        name: _at_most(best.score)
        for name, best in found.mistakes.best_of_classes().items()
        if best is not None
    }
    are_plain = all(_PLAIN.fullmatch(name) for name in scores)
    if not 2 <= len(scores) <= MOST_THRESHOLDS or not are_plain:
        return None
    return "score_threshold={" + ", ".join(f"{n}: {score:g}" for n, score in scores.items()) + "}"


def _at_most(score: float) -> float:
    """Rounded down, so that the detection that has it is taken."""
    return math.floor(1000 * score) / 1000


def _plain(line: str) -> str:
    """Of a line for the page: without the marks of code."""
    return line.replace("`", "")


def _say(what: str, found: LookBack) -> None:
    log.info("\n%s, AP %s: 95 %% interval in brackets", what, found.intervals.AP)
    number = len(found.weak)
    which = f"The {number} classes with the lowest AP" if number > 1 else "The class"
    log.info(
        "\n%s, at scores from %.2f on (%s):\n%s",
        which,
        found.mistakes.score,
        "the best F1" if found.mistakes.any_right else "none finds an object yet",
        weak_class_table(found.weak),
    )
    if found.sheet is not None:
        several = len(found.pictures) > 1
        log.info(
            "\nThe %s with the most mistakes, as labelled (dashed) beside what was found:\n"
            "  %s\n  one by one in %s",
            f"{len(found.pictures)} pictures" if several else "picture",
            found.sheet,
            found.pictures[0].parent,
        )


def _detect(checkpoint: Path | str, override: str) -> str:
    """The command, called as this one was."""
    program = Path(sys.argv[0])
    script = program.with_name("detect.py")
    called = f"python {shlex.quote(str(script))}" if script.is_file() else "detection detect"
    return f"{called} {shlex.quote(str(checkpoint))} my_pictures/ {override}"


def _longer(config: DictConfig, validation: DetectionValidation, best: float | None) -> list[str]:
    """Where the last validation was the best one."""
    if best is None or validation.last_value() != best:
        return []
    iterations = 2 * config.schedule.rules.iterations
    # A rate that falls up to the last iteration is another one in a longer training.
    changes = " resume_with_changes=true" * ("iterations" in config.schedule.learning_rate)
    return [
        "longer: the last validation was the best; the same command, without `minutes=` and "
        f"`epochs=`, with `resume=true schedule.rules.iterations={iterations}{changes}`"
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
        f"larger pictures, for {', '.join(small)}: a new training with `data.shorter_sides=[...]`, "
        f"`data.test_shorter_side` above {side} and `data.longest` above {config.data.longest}"
    ]
