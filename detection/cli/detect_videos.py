"""The videos and cameras of the command detect."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from detection.engine.detection_run import DetectionRun
from detection.engine.video import Video
from detection.inference.detector import Detector
from detection.visualization.style import DrawingStyle
from detection.writers.video import VideoWriter, drawn_video_names

log = logging.getLogger("detect")


@dataclass
class Missing:
    """Videos of which no frame could be read, and those that ended before their end."""

    unread: int = 0
    cut: int = 0


def detect_videos(
    config: DictConfig,
    detector: Detector,
    run: DetectionRun,
    names: Mapping[Path | int | str, str],
    *,
    first: int,
) -> Missing:
    """Detects in all of them, the frames numbered from ``first`` on; what could not be read."""
    missing, number = Missing(), first
    targets = drawn_video_names([*names.values()])
    for source, name in names.items():
        try:
            video = Video(source, every=config.every)
        except ValueError as error:
            log.warning("left out: %s", error)
            missing.unread += 1
            continue
        drawn = None
        if config.draw:
            drawn = VideoWriter(
                Path(config.output_dir) / targets[name],
                fps=video.fps,
                class_names=detector.class_names,
                min_score=config.draw_score,
                style=DrawingStyle(**config.drawing),
            )
        try:
            number, count = run.video(video, name, number, drawn, limit=config.max_frames)
            if drawn is not None:
                drawn.finish()
        finally:
            if drawn is not None:
                drawn.abandon()
        missing.cut += video.is_cut
        if not count:
            what = f"camera {source}" if video.is_live else source
            log.warning("left out: %s: no frame of it can be read", what)
            missing.unread += 1
    return missing
