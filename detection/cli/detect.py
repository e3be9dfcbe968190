"""Detects objects in photos: python tools/detect.py checkpoint=outputs/train/best.pt images=photos/

Leaves in output_dir: detections.json (a COCO results list with the file name and the class name
added) and drawn/, the pictures.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
from omegaconf import DictConfig
from tqdm import tqdm

from detection.atomic_write import write_text
from detection.cli.objects import detector as make_detector
from detection.engine.detect import Photo, detect_images, find_images
from detection.engine.evaluate import to_results
from detection.engine.runtime import set_up_runtime
from detection.visualization.draw import draw_detections

log = logging.getLogger("detect")


def main(config: DictConfig) -> None:
    runtime = set_up_runtime(**config.runtime)
    detector = make_detector(config, runtime)
    paths = _find(config.images)
    names = _names(paths)
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)

    results: list[dict[str, Any]] = []
    began = time.perf_counter()
    drawing: list[Future[None]] = []
    done = 0
    with ThreadPoolExecutor(1) as pool, tqdm(total=len(paths), unit="img") as bar:
        for photo in detect_images(
            detector, paths, batch_size=config.batch_size, readers=runtime.workers
        ):
            image_id, name = names[photo.path]
            done += 1
            for entry in to_results(photo.detections, image_id, detector.category_ids):
                label = detector.category_ids.index(entry["category_id"])
                results.append(
                    {**entry, "file_name": name, "class_name": detector.class_names[label]}
                )
            if config.draw:
                target = folder / "drawn" / name
                job = pool.submit(_draw, photo, target, detector.class_names, config.draw_score)
                drawing.append(job)
            bar.update()
        for job in drawing:
            job.result()
    seconds = time.perf_counter() - began

    write_text(folder / "detections.json", json.dumps(results) + "\n")
    log.info(
        "%d detections in %d of %d images, %.2f s per image -> %s%s",
        len(results),
        done,
        len(paths),
        seconds / max(done, 1),
        folder / "detections.json",
        f", {folder / 'drawn'}/" if config.draw else "",
    )
    if done < len(paths):
        raise ValueError(f"{len(paths) - done} of {len(paths)} images could not be read, see above")


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


def _draw(photo: Photo, target: Path, class_names: tuple[str, ...], min_score: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw_detections(photo.image, photo.detections, class_names, min_score=min_score)
    if not cv2.imwrite(str(target), drawn):
        raise ValueError(f"{target}: could not be written")
