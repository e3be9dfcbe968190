"""The error of a classifier: python tools/test_classifier.py checkpoint=best.pt data.root=/path

views=ten_crop is 10-crop testing, views=multi_scale the paper's fully convolutional testing.
Several checkpoints, checkpoint=[a.pt,b.pt], are an ensemble: their softmax scores are averaged.
Leaves metrics.json in output_dir.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.classifier import Classifier
from detection.classification.evaluate import measure_error
from detection.classification.images import open_labelled
from detection.cli.given import texts
from detection.cli.objects import as_plain
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import set_up_runtime
from detection.weights.by_name import weights_file

log = logging.getLogger("test")


def main(config: DictConfig) -> None:
    output = OutputFolder(
        path=Path(config.output_dir),
        command="test_classifier",
        files=("metrics.json",),
        reads=[Path(name) for name in texts(config.checkpoint)],
        can_resume=False,
    )
    with output.taken(overwrite=config.overwrite):
        _run(config)


def _run(config: DictConfig) -> None:
    runtime = set_up_runtime(**config.runtime)
    names = texts(config.checkpoint)
    checkpoints = [ClassifierCheckpoint.load(weights_file(n, kind="backbone")) for n in names]
    checkpoint = checkpoints[0]
    classifiers = []
    for name, each in zip(names, checkpoints, strict=True):
        if config.views is None and each.views != checkpoint.views:
            raise ValueError(
                f"{name}: was tested on other views than {names[0]}: say which, as in views=centre"
            )
        classifier = each.build_model(trust=list(config.trust))
        assert isinstance(classifier, Classifier)
        in_order_of(classifier, each.class_names, checkpoint.class_names, source=name)
        classifiers.append(classifier.to(runtime.device))
    dataset = open_labelled(
        root=Path(config.data.root),
        split=config.data.split,
        in_memory=config.data.in_memory,
        images=config.data.images,
    ).with_class_names(checkpoint.class_names)
    log.info("%s", dataset.report())
    views = as_plain(config.views) if config.views else checkpoint.views
    metrics = measure_error(
        classifiers,
        dataset,
        build(views, trust=list(config.trust)),
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


def in_order_of(
    classifier: Classifier, own: Sequence[str], names: Sequence[str], *, source: str
) -> None:
    """Puts the rows of the fc layer, whose classes are ``own``, into the order of ``names``."""
    if len(own) != len(names) or set(own) != set(names):
        other = sorted({*own} ^ {*names})
        raise ValueError(
            f"{source}: an ensemble has classifiers of the same classes; in one alone are "
            f"{', '.join(other[:5])}{' ...' if len(other) > 5 else ''}"
        )
    rows = [list(own).index(name) for name in names]
    assert isinstance(classifier.fc, torch.nn.Linear)
    with torch.no_grad():
        classifier.fc.weight.copy_(classifier.fc.weight[rows])
        classifier.fc.bias.copy_(classifier.fc.bias[rows])
