"""A run over pictures and videos: what is found is written as it comes, in every format."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from detection.atomic_write import FULL
from detection.engine.detect import Detects, detect_images
from detection.engine.detections_log import DetectionsLog
from detection.engine.video import Frame, Video
from detection.inference.coco_entries import to_results
from detection.structures import Detections
from detection.visualization.image import Image
from detection.writers.video import VideoWriter
from detection.writers.writer import PictureRecord, Writer

log = logging.getLogger("detect")

# What waits to be written, at most: each picture is in memory until then.  So few pictures, too,
# because one that was not written is detected in once more when a killed run is gone on with.
_WAITING, _BYTES_WAITING = 8, 128 << 20


@dataclass(frozen=True)
class Classes:
    """``names[label - 1]`` and ``category_ids[label - 1]`` belong to a label."""

    names: Sequence[str]
    category_ids: tuple[int, ...]


class DetectionRun:
    """Detects and writes; a picture's line is kept behind its files, so that none lacks them.

    ``not_written``: pictures of which one file could not be written; their detections are kept.
    ``first_of_many``: names of files that hold more pictures than the one that was looked at.
    """

    def __init__(
        self,
        detector: Detects,
        *,
        classes: Classes,
        lines: DetectionsLog,
        writers: Sequence[Writer],
        batch_size: int,
        readers: int,
    ) -> None:
        self._detector, self._classes, self._lines = detector, classes, lines
        self._writers, self._batch_size, self._readers = writers, batch_size, readers
        self._waiting: deque[tuple[PictureRecord, int, Future[list[str]]]] = deque()
        self._pool = ThreadPoolExecutor(1)
        self.not_written: list[str] = []
        self.first_of_many: list[str] = []

    def pictures(self, names: Mapping[Path, str], numbers: Mapping[str, int]) -> None:
        """Those of ``names`` that are not done yet."""
        left = [path for path, name in names.items() if name not in self._lines.done]
        photos = detect_images(
            self._detector, left, batch_size=self._batch_size, readers=self._readers
        )
        with tqdm(total=len(left), unit="img") as bar:
            try:
                for photo in photos:
                    name = names[photo.path]
                    if photo.more:
                        self.first_of_many.append(name)
                    record = self._record(photo.detections, numbers[name], name)
                    self._submit(record, photo.image)
                    bar.update()
                    del photo
                bar.update(len(left) - bar.n)  # those that were left out
            finally:
                self._keep_all()

    def video(
        self, video: Video, name: str, first: int, drawn: VideoWriter | None, *, limit: int | None
    ) -> tuple[int, int]:
        """All frames, numbered from ``first`` on; the number behind the last one, and how many.

        ``limit``: at most so many frames.  Ctrl-C ends a camera, and is no error there.
        Frames that an earlier call has done are drawn again, for a video cannot be gone on with.
        They keep their numbers, and no other frame gets one of those: another video may have been
        unreadable then, or shorter.
        """
        earlier, taken = self._earlier(name), {*self._lines.done.values()}
        number, count = first, 0
        batch: list[tuple[Frame, PictureRecord]] = []
        frames = video.frames()
        total = min(video.length or limit or 0, limit or video.length) or None
        try:
            with tqdm(total=total, unit="frame", desc=name) as bar:
                for frame in frames:
                    if limit is not None and count >= limit:
                        break
                    frame_name = f"{name}/{frame.index:06d}"
                    record = earlier.get(frame_name)
                    if record is None:
                        number = next(n for n in itertools.count(number) if n not in taken)
                        record = PictureRecord(number, frame_name, [])
                    batch.append((frame, record))
                    number, count = max(number, record.number + 1), count + 1
                    if len(batch) == self._batch_size or video.is_live:
                        self._detect_frames(batch, earlier, video, drawn)
                        batch = []
                    bar.update()
            self._detect_frames(batch, earlier, video, drawn)
        except KeyboardInterrupt:
            if not video.is_live:
                raise
        finally:
            frames.close()
            self._keep_all()
        return number, count

    def finish(self) -> int:
        """Writes what belongs to all pictures; how many detections there are.

        One format's trouble is none of another's: it is raised when all have been written.
        """
        self._pool.shutdown()
        problems = []
        for writer in self._writers:
            try:
                writer.finish(self._lines.records())
            except (OSError, ValueError) as error:
                problems.append(error)
        if problems:
            raise problems[0]
        return sum(len(record.detections) for record in self._lines.records())

    def _detect_frames(
        self,
        batch: Sequence[tuple[Frame, PictureRecord]],
        earlier: Mapping[str, PictureRecord],
        video: Video,
        drawn: VideoWriter | None,
    ) -> None:
        new = [(frame, record) for frame, record in batch if record.name not in earlier]
        found = iter(self._detector([frame.image for frame, _ in new]) if new else [])
        for frame, record in batch:
            if (known := earlier.get(record.name)) is not None:
                if drawn is not None:
                    for problem in self._pool.submit(
                        _write, (), known, frame.image, drawn
                    ).result():
                        log.warning("not written: %s", problem)
                continue
            seconds = round(frame.index / (video.fps * video.every), 3)
            more = {"frame": frame.index, "seconds": seconds}
            made = self._record(next(found), record.number, record.name, **more)
            self._submit(made, frame.image, drawn)

    def _earlier(self, name: str) -> dict[str, PictureRecord]:
        if not any(done.startswith(f"{name}/") for done in self._lines.done):
            return {}
        records = self._lines.records()
        return {r.name: r for r in records if r.name.rpartition("/")[0] == name}

    def _record(self, detections: Detections, number: int, name: str, **more: Any) -> PictureRecord:
        ids = self._classes.category_ids
        named = {"file_name": name, **more}
        found = []
        for entry in to_results(detections, number, ids):
            class_name = self._classes.names[ids.index(entry["category_id"])]
            found.append({**entry, **named, "class_name": class_name})
        return PictureRecord(number, name, found, detections.boxes.numpy())

    def _submit(
        self, record: PictureRecord, image: Image, drawn: VideoWriter | None = None
    ) -> None:
        job = self._pool.submit(_write, self._writers, record, image, drawn)
        self._waiting.append((record, image.nbytes, job))
        del image
        while (
            len(self._waiting) > _WAITING
            or sum(size for _, size, _ in self._waiting) > _BYTES_WAITING
        ):
            self._keep_first()

    def _keep_all(self) -> None:
        while self._waiting:
            self._keep_first()

    def _keep_first(self) -> None:
        record, _, job = self._waiting.popleft()
        try:
            problems = job.result()
            for problem in problems:
                log.warning("not written: %s", problem)
            if problems:
                self.not_written.append(record.name)
            self._lines.write(record)
        except OSError:  # the disk is full
            self._waiting.clear()
            self._pool.shutdown(cancel_futures=True)  # nobody writes once the run is over
            raise


def _write(
    writers: Sequence[Writer], record: PictureRecord, image: Image, drawn: VideoWriter | None
) -> list[str]:
    """What could not be written, a line each: one format's trouble is none of another's."""
    problems = []
    add = [writer.add for writer in writers]
    for write in add if drawn is None else [*add, drawn.add]:
        try:
            write(record, image)
        except (cv2.error, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise  # nor would those that follow have room
            problems.append(f"{record.name}: {' '.join(str(error).split())}")
    return problems
