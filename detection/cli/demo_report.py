"""What the demo leaves to look at: a picture and its numbers, beside the training's report."""

from __future__ import annotations

import json
import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from detection.data.dataset import DetectionDataset
from detection.engine.drawn_pair import draw_pair
from detection.engine.metrics_file import write_metrics
from detection.engine.report_file import REPORT
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.image import Image
from detection.visualization.picture_file import write_picture

log = logging.getLogger("demo")

SHOWN = (360, 360)  # of a picture's longer side on the sheet, in pixels, before it fills its row
SHEET_WIDTH, COLUMNS = 2000, 6  # three pairs in a row


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a command left in ``folder``/metrics.json."""
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def write_report(
    folder: Path, dataset: DetectionDataset, *, photos: int, top1: float, seconds: float
) -> None:
    """Leaves detections.jpg and metrics.json in ``folder``; says where to look.

    The first ``photos`` pictures of ``dataset`` are those that were detected in.
    """
    trained = read_metrics(folder / "detector")
    coco, voc = trained["coco"], trained["voc"]
    back = trained.get("look_back", {})
    # The best balance of precision and recall, which is only there if anything was found.
    score, half = back.get("score", 0.5), back.get("at_half")
    sheet = folder / "detections.jpg"
    write_picture(sheet, _sheet(folder, dataset, photos, score))
    write_metrics(
        folder / "metrics.json",
        coco=coco,
        voc=voc,
        at_half=half,
        pretraining_top1=top1,
        seconds=round(seconds, 1),
    )
    if half is not None:
        log.info(
            "\nAt a score of %.1f and more %.0f %% of the detections are right, and %.0f %% of the "
            "objects found.",
            half["score"],
            100 * half["precision"],
            100 * half["recall"],
        )
    python = Path(sys.executable)
    log.info(
        "\nAP50 %.1f, AP %.1f on pictures that were not trained on, after %.1f minutes; the "
        "classifier before it is right on %.1f %% of the objects.\n"
        "Look at:  %s\n"
        "          %s: as labelled (dashed) beside what was found, at scores from %.2f on\n"
        "Next, on your own COCO- or VOC-format folder:\n"
        "  %s -m detection train /path/to/dataset weights=/path/to/resnet50.safetensors "
        "model.backbone.depth=50",
        100 * coco["AP50"],
        100 * coco["AP"],
        seconds / 60,
        100 * top1,
        folder / "detector" / REPORT,
        sheet,
        score,
        python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python",
    )


def _sheet(folder: Path, dataset: DetectionDataset, photos: int, score: float) -> Image:
    """The pictures, each as it is labelled beside what was found in it."""
    found = defaultdict(list)
    for detection in json.loads(
        (folder / "detected" / "detections.json").read_text(encoding="utf-8")
    ):
        found[detection["file_name"]].append(detection)
    halves: list[Image] = []
    for example in dataset.examples[:photos]:
        detections = found[example.path.name]
        halves += draw_pair(example, detections, dataset, min_score=score, shown=SHOWN)
    return contact_sheet(halves, columns=COLUMNS, width=SHEET_WIDTH)
