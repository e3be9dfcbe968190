"""Localisation errors: python tools/test_localizer.py checkpoint=best.pt data.root=ILSVRC

With the class of each picture known, and with classifier=best.pt top-1 and top-5: a picture is
wrong if none of the five classes is its own with a box that overlaps an object by half.
views=multi_scale is the paper's dense testing.  Beside the errors stands that of the best constant
box in the centre.
Leaves in output_dir: metrics.json, and localizations.csv in the format of the challenge on Kaggle.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from detection.atomic_write import write_text
from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.classifier import Classifier
from detection.classification.evaluate import class_scores
from detection.cli.given import texts
from detection.cli.located_data import located_test_data
from detection.cli.objects import as_plain
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import Runtime, set_up_runtime
from detection.evaluation.localization import Truth, centred_box, is_wrong
from detection.localization.checkpoint import LocalizerCheckpoint
from detection.localization.choice import BoxChoice
from detection.localization.evaluate import Localized, localize, truth_of
from detection.localization.localizer import Localizer
from detection.localization.located_images import LocatedImages
from detection.structures import Metrics
from detection.weights.by_name import weights_file

log = logging.getLogger("test")

TOP = 5


def main(config: DictConfig) -> None:
    output = OutputFolder(
        path=Path(config.output_dir),
        command="test_localizer",
        files=("metrics.json", "localizations.csv"),
        reads=[Path(name) for name in _files(config)],
        can_resume=False,
    )
    with output.taken(overwrite=config.overwrite):
        _run(config)


def _files(config: DictConfig) -> list[str]:
    return [*texts(config.checkpoint), *(texts(config.classifier) if config.classifier else [])]


def _run(config: DictConfig) -> None:
    runtime = set_up_runtime(**config.runtime)
    trust = list(config.trust)
    names = texts(config.checkpoint)
    checkpoints = [LocalizerCheckpoint.load(Path(name)) for name in names]
    first = checkpoints[0]
    localizers = []
    for name, checkpoint in zip(names, checkpoints, strict=True):
        if checkpoint.class_names != first.class_names:
            raise ValueError(f"{name}: has other classes than {names[0]}, or in another order")
        localizer = checkpoint.build_model(trust=trust)
        assert isinstance(localizer, Localizer)
        localizers.append(localizer.to(runtime.device))
    dataset = located_test_data(config.data, first.class_names)
    log.info("%s", dataset.report())
    views = as_plain(config.views) if config.views else first.views
    choice = build(first.choice, trust=trust)
    assert isinstance(choice, BoxChoice)
    if config.voting_iou is not None:
        choice = replace(choice, voting_iou=None if config.voting_iou == 1 else config.voting_iou)

    def located(classes: NDArray[np.int64]) -> Localized:
        return localize(
            localizers,
            dataset,
            classes,
            build(views, trust=trust),
            choice,
            batch_size=config.batch_size,
            workers=runtime.workers,
            device=runtime.device,
            precision=runtime.precision,
        )

    truth = truth_of(dataset)
    # The class that is known, and behind it those that a classifier says.
    asked = dataset.classes[:, None]
    if config.classifier:
        asked = np.concatenate((asked, _classified(config, runtime, dataset)), axis=1)
    found = located(asked)
    metrics = errors(truth, found)
    constant, side = centred_box(truth)
    metrics |= {"error_centred_box": constant}
    folder = Path(config.output_dir)
    write_metrics(folder / "metrics.json", **metrics, views=views, choice=first.choice)
    write_text(folder / "localizations.csv", as_csv(dataset, found))
    for name, value in metrics.items():
        if value is not None:
            log.info("%-34s %6.2f %%", _WORDS[name].format(side=side), 100 * value)
    log.info("%d images; %s", len(dataset), folder / "metrics.json")


_WORDS = {
    "error_gt_class": "localisation, the class known",
    "error_top1": "localisation, top-1",
    "error_top5": "localisation, top-5",
    "classification_error": "classification, top-1",
    "classification_error_top5": "classification, top-5",
    "error_centred_box": "a centred box of {side} of each side",
}


def errors(truth: Truth, found: Localized) -> Metrics:
    """Fractions of the images.  ``found``: the known class, and behind it up to five others."""
    metrics: Metrics = {
        "error_gt_class": float(is_wrong(truth, found.classes[:, :1], found.boxes[:, :1]).mean())
    }
    classes, boxes = found.classes[:, 1:], found.boxes[:, 1:]
    for top in (1, TOP):
        if classes.shape[1] >= top:
            right = (classes[:, :top] == truth.classes[:, None]).any(axis=1)
            suffix = "" if top == 1 else f"_top{top}"
            metrics[f"error_top{top}"] = float(
                is_wrong(truth, classes[:, :top], boxes[:, :top]).mean()
            )
            metrics[f"classification_error{suffix}"] = float(1 - right.mean())
    return metrics


def as_csv(dataset: LocatedImages, found: Localized) -> str:
    """A line for each image: its name, and class and box of each pair, best class first.

    Without a classifier the pair is that of the known class.
    """
    first = 1 if found.classes.shape[1] > 1 else 0
    lines = ["ImageId,PredictionString"]
    for example, classes, boxes in zip(
        dataset.examples, found.classes[:, first:], found.boxes[:, first:], strict=True
    ):
        # The challenge's boxes are whole pixels, the last of them included.
        whole = np.rint(boxes - np.array((0, 0, 1, 1))).astype(int)
        pairs = [
            " ".join([dataset.class_names[label], *map(str, box)])
            for label, box in zip(classes, whole.tolist(), strict=True)
        ]
        lines.append(f"{example.path.stem},{' '.join(pairs)}")
    return "\n".join(lines) + "\n"


def _classified(config: DictConfig, runtime: Runtime, dataset: LocatedImages) -> NDArray[np.int64]:
    """The best classes [M, 5], or as many as there are, in the numbering of ``dataset``."""
    names = texts(config.classifier)
    checkpoints = [ClassifierCheckpoint.load(weights_file(n, kind="backbone")) for n in names]
    views: dict[str, Any] = as_plain(config.views) if config.views else checkpoints[0].views
    rows, classifiers = [], []
    for name, checkpoint in zip(names, checkpoints, strict=True):
        if checkpoint.class_names != checkpoints[0].class_names:
            raise ValueError(f"{name}: has other classes than {names[0]}, or in another order")
        classifier = checkpoint.build_model(trust=list(config.trust))
        assert isinstance(classifier, Classifier)
        classifiers.append(classifier.to(runtime.device))
    own = list(checkpoints[0].class_names)
    if unknown := sorted({*own} - {*dataset.class_names}):
        raise ValueError(
            f"{names[0]}: the classifier has classes that the localisation network has not: "
            f"{', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}"
        )
    number = np.array([dataset.class_names.index(name) for name in own])
    for scores in class_scores(
        classifiers,
        dataset.labelled(),
        build(views, trust=list(config.trust)),
        batch_size=config.batch_size,
        workers=runtime.workers,
        device=runtime.device,
        precision=runtime.precision,
    ):
        best = scores.topk(min(TOP, len(own)), dim=1).indices
        rows.append(number[best.cpu().numpy()])
    return np.concatenate(rows)
