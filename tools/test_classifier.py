"""The error of a classifier: python tools/test_classifier.py checkpoint=best.pt data.root=/path

views=ten_crop is 10-crop testing, views=multi_scale the paper's fully convolutional testing.
Leaves metrics.json in output_dir.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from omegaconf import DictConfig

from detection.checkpoint import ClassifierCheckpoint, build
from detection.classification.classifier import Classifier
from detection.data.labelled import open_labelled
from detection.engine.classify import measure_error
from detection.engine.metrics_file import write_metrics
from detection.engine.runtime import set_up_runtime
from tools.launch import as_plain, launch

log = logging.getLogger("test")


def main(config: DictConfig) -> None:
    runtime = set_up_runtime(**config.runtime)
    checkpoint = ClassifierCheckpoint.load(Path(config.checkpoint))
    classifier = checkpoint.build_model()
    assert isinstance(classifier, Classifier)
    dataset = open_labelled(
        root=Path(config.data.root),
        split=config.data.split,
        in_memory=config.data.in_memory,
        images=config.data.images,
    ).with_class_names(checkpoint.class_names)
    log.info("%s", dataset.report())
    views = as_plain(config.views) if config.views else checkpoint.views
    metrics = measure_error(
        classifier.to(runtime.device),
        dataset,
        build(views),
        batch_size=config.batch_size,
        workers=runtime.workers,
        device=runtime.device,
        precision=runtime.precision,
    )
    path = Path(config.output_dir) / "metrics.json"
    write_metrics(path, **metrics, views=views)
    numbers = "  ".join(
        f"{name} {100 * value:.2f} %"
        for name, value in metrics.items()
        if name.startswith("error") and value is not None
    )
    log.info("%s  (%d images; %s)", numbers, len(dataset), path)


if __name__ == "__main__":
    launch(main, config="test_classifier")
