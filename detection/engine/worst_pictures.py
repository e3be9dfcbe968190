"""The pictures with the most mistakes, drawn: as they are labelled beside what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detection.data.dataset import DetectionDataset
from detection.engine.drawn_pair import draw_pair
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.image import Image
from detection.visualization.picture_file import write_picture

if TYPE_CHECKING:  # who only asks for the names of these files does without the metrics
    from detection.evaluation.coco_arrays import Detection

FOLDER, SHEET = "worst", "worst.jpg"
# What the two write, as globs: for the marker of the folder.
PATTERNS = (f"{FOLDER}/[1-9]_*.jpg", SHEET)
SHOWN = (600, 1000)  # of a picture's longer side, in pixels
SHEET_WIDTH = 1600


def write_worst_pictures(
    dataset: DetectionDataset,
    detections: Sequence[Detection],
    image_ids: Sequence[int],
    folder: Path,
    *,
    min_score: float,
) -> list[Path]:
    """``folder``/worst/1_NAME.jpg ..., and all of them on ``folder``/worst.jpg; returns the files.

    On the left the objects as they are labelled (dashed), on the right the detections from
    ``min_score`` on.  Earlier ones are removed.  Raises FileNotFoundError or ValueError for a
    picture that cannot be read.
    """
    for pattern in PATTERNS:
        for earlier in folder.glob(pattern):
            earlier.unlink()
    examples = {example.image_id: example for example in dataset.examples}
    found: Mapping[int, list[Detection]] = {image_id: [] for image_id in image_ids}
    for detection in detections:
        if detection["image_id"] in found:
            found[detection["image_id"]].append(detection)
    files: list[Path] = []
    halves: list[Image] = []
    for number, image_id in enumerate(image_ids, start=1):
        example = examples[image_id]
        pair = draw_pair(example, found[image_id], dataset, min_score=min_score, shown=SHOWN)
        halves += pair
        file = folder / FOLDER / f"{number}_{example.path.stem}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_picture(file, contact_sheet(pair, columns=2, width=2 * pair[0].shape[1] + 30))
        files.append(file)
    if halves:
        width = min(SHEET_WIDTH, 2 * max(half.shape[1] for half in halves) + 30)
        write_picture(folder / SHEET, contact_sheet(halves, columns=2, width=width))
    return files
