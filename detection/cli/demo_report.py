"""What the demo leaves to look at: a picture and its numbers, beside the training's report."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import cv2

from detection.data.image import read_image
from detection.engine.metrics_file import write_metrics
from detection.engine.report_file import REPORT
from detection.visualization.contact_sheet import contact_sheet

log = logging.getLogger("demo")


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a command left in ``folder``/metrics.json."""
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def write_report(folder: Path, top1: float, seconds: float) -> None:
    """Leaves detections.jpg and metrics.json in ``folder``; says where to look."""
    drawn = [read_image(path) for path in sorted((folder / "detected" / "drawn").iterdir())]
    sheet = folder / "detections.jpg"
    cv2.imwrite(str(sheet), contact_sheet(drawn, columns=4, width=1600))
    trained = read_metrics(folder / "detector")
    coco, voc = trained["coco"], trained["voc"]
    write_metrics(
        folder / "metrics.json",
        coco=coco,
        voc=voc,
        pretraining_top1=top1,
        seconds=round(seconds, 1),
    )
    python = Path(sys.executable)
    log.info(
        "\nAP50 %.1f, AP %.1f on pictures that were not trained on, after %.1f minutes; the "
        "classifier before it is right on %.1f %% of the objects.\n"
        "Look at:  %s\n          %s\n"
        "Next, on your own COCO- or VOC-format folder:\n"
        "  %s tools/train_net.py data.root=/path/to/dataset weights=/path/to/resnet50.safetensors "
        "model.backbone.depth=50",
        100 * coco["AP50"],
        100 * coco["AP"],
        seconds / 60,
        100 * top1,
        folder / "detector" / REPORT,
        sheet,
        python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python",
    )
