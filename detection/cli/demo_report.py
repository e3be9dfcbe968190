"""What the demo leaves to look at: one page, one picture, its numbers."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import cv2

from detection.data.image import read_image
from detection.engine.metrics_file import write_metrics
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.summary import (
    Summary,
    detection_classes,
    detection_facts,
    percent,
    write_summary,
)

log = logging.getLogger("demo")


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a command left in ``folder``/metrics.json."""
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def write_report(folder: Path, top1: float, seconds: float) -> None:
    """Leaves detections.jpg, metrics.json and summary.html in ``folder``; says where to look."""
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
    summary = Summary(
        title="Faster R-CNN on ResNet-18 C4: the demo",
        facts={
            "Pre-trained classifier, top-1 on the objects": percent(top1),
            **detection_facts(coco, voc),
            "Test time per image": f"{trained['seconds_per_image']:.3f} s",
            "Time for everything": f"{seconds / 60:.1f} min",
        },
        per_class=detection_classes(coco, voc),
        pictures={
            "Detections in pictures that were not trained on": sheet.name,
            "Training": "detector/loss.png",
        },
    )
    write_summary(folder / "summary.html", summary)
    python = Path(sys.executable)
    log.info(
        "\nAP50 %s, AP %s on pictures that were not trained on, after %.1f minutes.\n"
        "Look at:  %s\n          %s\n"
        "Next, on your own COCO- or VOC-format folder:\n"
        "  %s tools/train_net.py data.root=/path/to/dataset weights=/path/to/resnet50.safetensors "
        "model.backbone.depth=50",
        percent(coco["AP50"]),
        percent(coco["AP"]),
        seconds / 60,
        folder / "summary.html",
        sheet,
        python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python",
    )
