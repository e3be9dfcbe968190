"""Layer responses of classifiers: python tools/responses.py checkpoint=[a.pt,b.pt] data.root=/path

Figure 7 of He et al. 2015: residual layers answer less strongly than plain ones, the more so the
deeper the network is.  Leaves responses.png and metrics.json in output_dir.
"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.classifier import Classifier
from detection.classification.images import open_labelled
from detection.classification.loader import ViewBatches, view_loader
from detection.classification.responses import layer_responses
from detection.cli.given import texts
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import set_up_runtime
from detection.visualization.curves import plot_responses
from detection.weights.by_name import weights_file

log = logging.getLogger("responses")


def main(config: DictConfig) -> None:
    names = texts(config.checkpoint)
    labels = list(config.labels or [Path(name).parent.name or Path(name).stem for name in names])
    if len(labels) != len(names) or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be one for each of {len(names)} checkpoints, all different")
    output = OutputFolder(
        path=Path(config.output_dir),
        command="responses",
        files=("metrics.json", "responses.png"),
        reads=[Path(name) for name in names],
        can_resume=False,
    )
    with output.taken(overwrite=config.overwrite):
        _run(config, dict(zip(labels, names, strict=True)))


def _run(config: DictConfig, checkpoints: dict[str, str]) -> None:
    runtime = set_up_runtime(**config.runtime)
    data, folder = config.data, Path(config.output_dir)
    found: dict[str, dict[str, float]] = {}
    for label, name in checkpoints.items():
        checkpoint = ClassifierCheckpoint.load(weights_file(name, kind="backbone"))
        classifier = checkpoint.build_model(trust=list(config.trust)).to(runtime.device)
        assert isinstance(classifier, Classifier)
        images = open_labelled(
            root=Path(data.root), split=data.split, in_memory=data.in_memory, images=data.images
        )
        views = build(checkpoint.views, trust=list(config.trust))
        loader = view_loader(images, views, batch_size=config.batch_size, workers=runtime.workers)
        found[label] = layer_responses(classifier, ViewBatches(loader))
        mean = sum(found[label].values()) / len(found[label])
        log.info("%s: %d layers, mean std %.3f", label, len(found[label]), mean)
    plot_responses({k: list(v.values()) for k, v in found.items()}, folder / "responses.png")
    write_metrics(folder / "metrics.json", responses=found)
    log.info("%s", folder / "responses.png")
