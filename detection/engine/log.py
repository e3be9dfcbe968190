"""What a training leaves behind: log.jsonl for programs, loss.png and the loggers' for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.atomic_write import append_line, write_text
from detection.engine.loggers.logger import Logger, Name
from detection.engine.loggers.open import open_loggers
from detection.visualization.image import Image

log = logging.getLogger("train")


class TrainingLog:
    """One line of JSON per event in ``folder``/log.jsonl, the numbers also for the loggers.

    ``start``: the iteration at which training begins.  Lines that an interrupted run logged after
    it are removed, so that a resumed run's log reads like that of an uninterrupted one.
    ``validates_first``: whether training begins with a validation that was interrupted; the line
    that it may have left is removed as well.
    ``loggers``: which; ``settings``: the training's configuration as YAML, for them.
    ``pictures``: asked after each validation for pictures by name, for the loggers alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        start: int,
        validates_first: bool = False,
        loggers: Sequence[Name] = ("tensorboard",),
        settings: str = "",
        pictures: Callable[[], Mapping[str, Image]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        self._pictures = pictures

        def is_kept(line: dict[str, Any]) -> bool:
            if line["iteration"] == start and line["kind"] == "validation":
                return not validates_first
            return bool(line["iteration"] <= start)

        kept = [line for line in read_log(self.path) if is_kept(line)] if start > 0 else []
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._loggers = open_loggers(loggers, folder, start=start, settings=settings)

    def write(self, iteration: int, kind: str, values: dict[str, Any]) -> None:
        """``kind``: "train" or "validation"; ``iteration``: how many are done."""
        line = {"iteration": iteration, "kind": kind, **values}
        append_line(self.path, json.dumps(line))
        numbers = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, (int, float))
        }
        self._each(lambda logger: logger.numbers(iteration, numbers))
        if kind == "validation" and self._pictures is not None and self._loggers:
            for name, picture in self._pictures().items():
                self._show(iteration, name, picture)

    def _show(self, iteration: int, name: str, picture: Image) -> None:
        self._each(lambda logger: logger.picture(iteration, name, picture))

    def _each(self, tell: Callable[[Logger], None]) -> None:
        """One that can no longer write is left out from then on; log.jsonl has the numbers."""
        for logger in tuple(self._loggers):
            try:
                tell(logger)
            except logger.errors as error:
                self._loggers.remove(logger)
                log.warning(
                    "%s writes no more (%s); %s goes on", type(logger).__name__, error, self.path
                )

    def close(self) -> None:
        from detection.visualization.curves import plot_training  # matplotlib takes half a second

        picture = self.path.with_name("loss.png")
        try:
            self._each(lambda logger: logger.close())
            plot_training(read_log(self.path), picture)
        except OSError as error:  # those that follow, or the one that brings us here, say more
            log.warning("%s is not drawn: %s", picture, error)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; half-written lines (a killed run) are left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
