"""Detects objects in pictures, videos and cameras: detection detect best.pt photos/ clip.mp4

Leaves in output_dir: detections.json (a COCO results list with the file name and the class name
added), or what formats= names, and drawn/, the pictures and videos; with features=true features/,
a .npz of each picture with the regions' vectors.  While it runs, detections.jsonl gets a line for
each picture; a run that was interrupted goes on behind them with resume=true.  A picture that
cannot be read is left out, named and counted.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.cli.detect_videos import detect_videos
from detection.cli.given import texts
from detection.cli.objects import as_plain
from detection.cli.objects import detector as make_detector
from detection.engine.detect import Detects, Images
from detection.engine.detection_run import Classes, DetectionRun
from detection.engine.detections_log import LINES, DetectionsLog
from detection.engine.inputs import Inputs, find_inputs, skipped_line
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import set_up_runtime
from detection.inference.detector import Detector
from detection.inference.shrinking import detects_and_says
from detection.inference.tiles import TiledDetector
from detection.structures import Detections
from detection.visualization.style import DrawingStyle
from detection.writers.coco import CocoWriter
from detection.writers.crops import CropsWriter
from detection.writers.csv import CsvWriter
from detection.writers.drawings import DrawingsWriter
from detection.writers.features import FeaturesWriter
from detection.writers.video import drawn_video_names, partial_name
from detection.writers.voc import VocWriter
from detection.writers.writer import Writer
from detection.writers.yolo import YoloWriter

log = logging.getLogger("detect")

FORMATS = ("coco", "csv", "yolo", "voc", "crops")
# A run that is gone on with may change these alone.
FREE = ("runtime", "batch_size", "resume", "overwrite", "output_dir", "trust", "strict")


def main(config: DictConfig) -> None:
    settings = as_plain(config)
    chosen = _formats(settings["formats"])
    for key in ("every", "max_frames"):
        if settings[key] is not None and settings[key] < 1:
            raise ValueError(f"{key} must be 1 or more, got {settings[key]}")
    runtime = set_up_runtime(**config.runtime)
    detector = make_detector(config, runtime)
    inputs = find_inputs(settings["images"])
    if inputs.skipped:
        log.info("%s", skipped_line(inputs.skipped))
    if inputs.cameras and config.resume:
        raise ValueError("resume=true goes on with files; a camera shows something else now")
    todo = _Todo.of(inputs)
    folder = Path(config.output_dir)
    writers = _writers(chosen, config, detector, todo, folder)
    tiled = None
    if config.tile is not None:
        tiled = TiledDetector(
            detector, tile=config.tile, overlap=config.tile_overlap, batch_size=config.batch_size
        )
    output = _output_folder(config, settings, todo, writers)
    began = time.perf_counter()
    with output.taken(resume=config.resume, overwrite=config.overwrite):
        lines = DetectionsLog(folder, numbers=todo.numbers, videos=todo.videos.values())
        before = len(lines.done)
        if before:
            log.info("%d images are done already", before)
        detects = detects_and_says(detector) if tiled is None else tiled
        run = DetectionRun(
            _following(detects, runtime.follow_neighbours),
            classes=Classes(detector.class_names, detector.category_ids),
            lines=lines,
            writers=writers,
            batch_size=config.batch_size,
            readers=runtime.workers,
        )
        run.pictures(todo.pictures, todo.numbers)
        first = len(todo.numbers) + 1
        videos = detect_videos(config, detector, run, todo.videos, first=first)
        count = run.finish()
    done, seconds = len(lines.done), time.perf_counter() - began
    lost = sum(name not in lines.done for name in todo.numbers)
    log.info(
        "%d detections in %d images, %.2f s per image -> %s",
        count, done, seconds / max(done - before, 1), folder,
    )  # fmt: skip
    if tiled is not None and tiled.full:
        log.warning("%d pictures have all the detections that per_image= allows", tiled.full)
    all_videos = len(todo.videos)
    problems = {
        f"{lost} of {len(todo.numbers)} images could not be read": lost,
        f"{videos.unread} of {all_videos} videos could not be read": videos.unread,
        f"{videos.cut} of {all_videos} videos could not be read to their end": videos.cut,
    }
    _report(config, run, [line for line, number in problems.items() if number], done)


def _following(detects: Detects, follow_neighbours: Callable[[], None]) -> Detects:
    """The same, on as many threads as there are cores for at the time."""

    def detect(images: Images) -> list[Detections]:
        follow_neighbours()
        return detects(images)

    return detect


@dataclass(frozen=True)
class _Todo:
    """``pictures``, ``videos``: what is read -> its name.  ``numbers``: name -> image_id."""

    pictures: dict[Path, str]
    videos: dict[Path | int | str, str]
    numbers: dict[str, int]

    @classmethod
    def of(cls, inputs: Inputs) -> _Todo:
        names = inputs.names()
        pictures = {path: names[path] for path in inputs.pictures}
        videos: dict[Path | int | str, str] = {path: names[path] for path in inputs.videos}
        videos.update(inputs.camera_names().items())
        numbers = {name: number for number, name in enumerate(pictures.values(), start=1)}
        return cls(pictures, videos, numbers)


def _formats(given: Any) -> list[str]:
    chosen = texts(given)
    for name in chosen:
        if name not in FORMATS:
            raise ValueError(f"formats: there is no {name!r}; choose from {', '.join(FORMATS)}")
    return chosen


def _writers(
    chosen: list[str], config: DictConfig, detector: Detector, todo: _Todo, folder: Path
) -> list[Writer]:
    names, frames_of = list(todo.numbers), list(todo.videos.values())
    classes, score = detector.class_names, config.draw_score
    made: dict[str, Writer] = {
        "coco": CocoWriter(folder=folder),
        "csv": CsvWriter(folder=folder),
        "yolo": YoloWriter(folder=folder, class_names=classes, names=names, frames_of=frames_of),
        "voc": VocWriter(folder=folder, names=names, frames_of=frames_of),
        "crops": CropsWriter(
            folder=folder, class_names=classes, min_score=score, names=names, frames_of=frames_of
        ),
    }
    writers = [made[name] for name in dict.fromkeys(chosen)]
    if config.draw:
        writers.append(
            DrawingsWriter(
                folder=folder,
                class_names=classes,
                min_score=score,
                names=names,
                style=DrawingStyle(**config.drawing),
            )
        )
    if config.features:
        of = functools.partial(detector.features, bgr=True)
        writers.append(
            FeaturesWriter(folder=folder, features_of=of, names=names, frames_of=frames_of)
        )
    return writers


def _output_folder(
    config: DictConfig, settings: dict[str, Any], todo: _Todo, writers: list[Writer]
) -> OutputFolder:
    videos = [*drawn_video_names([*todo.videos.values()]).values()] if config.draw else []
    checkpoints = texts(config.checkpoint)
    files = [path for path in (*todo.pictures, *todo.videos) if isinstance(path, Path)]
    return OutputFolder(
        path=Path(config.output_dir),
        command="detect",
        files=(
            LINES,
            *videos,
            *map(partial_name, videos),
            *(name for each in writers for name in each.outputs.files),
        ),
        patterns=[pattern for each in writers for pattern in each.outputs.patterns],
        own_folders=[name for each in writers for name in each.outputs.folders],
        reads=[*files, *map(Path, checkpoints)],
        settings={key: value for key, value in settings.items() if key not in FREE},
    )


def _report(config: DictConfig, run: DetectionRun, problems: list[str], done: int) -> None:
    """Says what is missing, and fails if that is all, or if nothing may be."""
    if many := run.first_of_many:
        log.info("%d files hold several pictures; the first was taken (%s)", len(many), many[0])
    if run.not_written:
        problems.append(
            f"of {len(run.not_written)} a file could not be written ({run.not_written[0]})"
        )
    if not problems:
        return
    line = f"{', '.join(problems)}: see above"
    if not done or config.strict:
        raise ValueError(line)
    log.warning("%s; all the others are done", line)
