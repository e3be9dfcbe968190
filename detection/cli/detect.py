"""Detects objects in photos: python tools/detect.py checkpoint=outputs/train/best.pt images=photos/

Leaves in output_dir: detections.json (a COCO results list with the file name and the class name
added) and drawn/, the pictures.  While it runs, detections.jsonl gets a line for each photo; a run
that was interrupted goes on behind them with resume=true.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
from omegaconf import DictConfig
from tqdm import tqdm

from detection.cli.objects import as_plain
from detection.cli.objects import detector as make_detector
from detection.engine.detect import Photo, detect_images, find_images
from detection.engine.detections_log import LINES, LIST, DetectionsLog
from detection.engine.evaluate import to_results
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import set_up_runtime
from detection.inference.detector import Detector
from detection.visualization.draw import draw_detections

log = logging.getLogger("detect")

# A run that is gone on with may change these alone.
FREE = ("runtime", "batch_size", "resume", "overwrite", "output_dir", "trust")
# Photos that wait to be drawn, at most: each is in memory until then.
DRAWN_LATER = 8


def main(config: DictConfig) -> None:
    runtime = set_up_runtime(**config.runtime)
    detector = make_detector(config, runtime)
    names = _names(_find(config.images))
    folder = Path(config.output_dir)
    drawn = [f"drawn/{name}" for _, name in names.values()] if config.draw else []
    output = OutputFolder(
        path=folder,
        command="detect",
        files=(LIST, LINES, *drawn),
        reads=[*names, *_checkpoints(config)],
        settings={key: value for key, value in as_plain(config).items() if key not in FREE},
    )
    began = time.perf_counter()
    with output.taken(resume=config.resume, overwrite=config.overwrite):
        lines = DetectionsLog(folder, numbers={name: number for number, name in names.values()})
        left = [path for path, (_, name) in names.items() if name not in lines.done]
        if len(left) < len(names):
            log.info("%d of %d images are done already", len(names) - len(left), len(names))
        run = _Run(config, detector, lines, names)
        run.go(left, readers=runtime.workers)
        count = lines.write_list()
    done, seconds = len(lines.done), time.perf_counter() - began
    log.info(
        "%d detections in %d of %d images, %.2f s per image -> %s%s",
        count,
        done,
        len(names),
        seconds / max(len(left), 1),
        folder / LIST,
        f", {folder / 'drawn'}/" if config.draw else "",
    )
    missing = [f"{len(names) - done} of {len(names)} images could not be read"]
    if run.not_drawn:
        missing.append(f"{run.not_drawn} could not be drawn")
    if done < len(names) or run.not_drawn:
        raise ValueError(f"{', '.join(missing)}, see above; all the others are done")


class _Run:
    """Detects and draws; a photo's line is written when it is drawn, so that none stays undrawn."""

    def __init__(
        self,
        config: DictConfig,
        detector: Detector,
        lines: DetectionsLog,
        names: dict[Path, tuple[int, str]],
    ) -> None:
        self.not_drawn = 0
        self._config, self._detector, self._lines, self._names = config, detector, lines, names
        self._waiting: deque[tuple[str, list[dict[str, Any]], Future[None] | None]] = deque()

    def go(self, paths: list[Path], *, readers: int) -> None:
        photos = detect_images(
            self._detector, paths, batch_size=self._config.batch_size, readers=readers
        )
        with ThreadPoolExecutor(1) as pool, tqdm(total=len(paths), unit="img") as bar:
            try:
                for photo in photos:
                    self._submit(photo, pool)
                    while len(self._waiting) > DRAWN_LATER:
                        self._keep_first()
                    bar.update()
            finally:
                while self._waiting:
                    self._keep_first()

    def _submit(self, photo: Photo, pool: ThreadPoolExecutor) -> None:
        config, detector = self._config, self._detector
        number, name = self._names[photo.path]
        found = []
        for entry in to_results(photo.detections, number, detector.category_ids):
            label = detector.category_ids.index(entry["category_id"])
            named = {"file_name": name, "class_name": detector.class_names[label]}
            found.append({**entry, **named})
        job = None
        if config.draw:
            target = Path(config.output_dir) / "drawn" / name
            job = pool.submit(_draw, photo, target, detector.class_names, config.draw_score)
        self._waiting.append((name, found, job))

    def _keep_first(self) -> None:
        name, found, job = self._waiting.popleft()
        try:
            if job is not None:
                job.result()
        except (cv2.error, OSError, ValueError) as error:
            self.not_drawn += 1
            log.warning("not drawn: %s", " ".join(str(error).split()))
        self._lines.write(name, found)


def _find(images: str | Sequence[str]) -> list[Path]:
    """The images that one pattern, or several, stand for, each once."""
    if isinstance(images, str):
        return find_images(images)
    found = [path for pattern in images for path in find_images(pattern)]
    return list(dict.fromkeys(Path(os.path.abspath(path)) for path in found))


def _names(paths: list[Path]) -> dict[Path, tuple[int, str]]:
    """Each image's number, from 1 on, and its name relative to the folder that holds them all."""
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return {
        path: (number, path.relative_to(common).as_posix())
        for number, path in enumerate(paths, start=1)
    }


def _checkpoints(config: DictConfig) -> list[Path]:
    given = config.checkpoint
    return [Path(given)] if isinstance(given, str) else [Path(path) for path in given]


def _draw(photo: Photo, target: Path, class_names: tuple[str, ...], min_score: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw_detections(photo.image, photo.detections, class_names, min_score=min_score)
    if not cv2.imwrite(str(target), drawn):
        raise ValueError(f"{target}: could not be written")
