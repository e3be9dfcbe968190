"""The demo, in small: all of its four parts, and what it leaves to look at."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.cli import demo
from detection.cli.compose import compose_config

SMALL = [
    "shapes.splits.train=32",
    "shapes.splits.val=6",
    "shapes.image_side=128",
    "pretraining.crop_side=32",
    "pretraining.per_object=1",
    "pretraining.ground_per_object=1",
    "pretraining.epochs=1",
    "pretraining.batch_size=16",
    'detector=["experiment=demo","data.shorter_sides=[64]","schedule.rules.iterations=2",'
    '"schedule.learning_rate.warmup_iterations=0","model.rpn.training_proposals.after_nms=16",'
    '"model.roi_head.sampling.per_image=4","model.roi_head.sampling.foreground_fraction=0.5",'
    '"inference=single"]',
    "photos=3",
    "runtime.device=cpu",
    "runtime.workers=0",
    "runtime.precision=fp32",
    "runtime.winograd=false",
    "runtime.regions_at_once=64",
]


@pytest.mark.slow
def test_the_demo_ends_with_a_filled_sheet_and_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo.main(compose_config("demo", [*SMALL, f"output_dir={folder}"]))
    metrics = json.loads((folder / "metrics.json").read_text())
    trained = json.loads((folder / "detector" / "metrics.json").read_text())
    assert metrics["coco"] == trained["coco"]
    assert 0 <= metrics["pretraining_top1"] <= 1
    assert (folder / "detector" / "report.html").is_file()
    assert len(list((folder / "detected" / "drawn").iterdir())) == 3
    sheet = cv2.imread(str(folder / "detections.jpg"))
    assert sheet is not None
    assert sheet.shape[1] == 2000
    # Three pairs, labelled and found, fill one row from edge to edge.
    middle = sheet[len(sheet) // 2].min(axis=1) < 250
    paper = np.flatnonzero(np.diff(middle.astype(int)) == -1)
    assert len(paper) == 6
    assert middle[:20].any()
    assert middle[-20:].any()
