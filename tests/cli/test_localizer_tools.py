"""The localiser's tools as a user calls them, on a few generated pictures of one object each."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from detection.checkpoint import ClassifierCheckpoint
from detection.cli import test_localizer, train_classifier, train_localizer
from detection.cli.compose import compose_config
from detection.shapes.localization import generate_localization

pytestmark = pytest.mark.slow

RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
SMALL = [
    *("experiment=localization/small", "data.crop.side=32", "data.crop.shorter_sides=[32,40]"),
    *(
        "data.views.shorter_side=32",
        "model.head.hidden_channels=8",
        "model.head.anchors.sizes=[12]",
    ),
    *("schedule.batch_size=2", "schedule.learning_rate.warmup_iterations=0"),
    *("schedule.rules.log_every=1", "schedule.rules.evaluate_every=2", *RUNTIME),
]
CONFIG = {
    train_localizer: "localizer",
    test_localizer: "test_localizer",
    train_classifier: "classifier",
}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def run(tool: ModuleType, *arguments: str) -> None:
    tool.main(compose_config(CONFIG[tool], list(arguments)))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clsloc") / "data"
    return generate_localization(root=folder, train=14, val=4, seed=5, image_side=128)


@pytest.fixture(scope="module")
def classifier(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    run(train_classifier, "experiment=classification/shapes", "data.crop.side=32",
        "data.crop.shorter_sides=[32,40]", "data.views.shorter_side=32", "data.held_out=4",
        f"data.root={data / 'Data' / 'CLS-LOC'}", "schedule.batch_size=4",
        "schedule.rules.iterations=1", "schedule.learning_rate.warmup_iterations=0",
        f"output_dir={folder}", *RUNTIME)  # fmt: skip
    return folder / "best.pt"


@pytest.fixture(scope="module")
def trained(data: Path, classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("localizer")
    run(train_localizer, *SMALL, f"data.root={data}", f"weights={classifier}",
        "schedule.rules.iterations=4", f"output_dir={folder}")  # fmt: skip
    return folder


def test_training_leaves_what_programs_read(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    assert 0 <= metrics["best"]["error_gt_class"] <= metrics["error_gt_class"] <= 1
    content = torch.load(trained / "best.pt", weights_only=True)
    assert len(content["class_names"]) == 7
    assert content["choice"]["candidates"] == 200


def test_a_resumed_training_is_the_uninterrupted_one(
    data: Path, classifier: Path, trained: Path, tmp_path: Path
) -> None:
    for arguments in (["schedule.rules.iterations=2"], ["resume=true"]):
        run(train_localizer, *SMALL, f"data.root={data}", f"weights={classifier}",
            "schedule.rules.iterations=4", "schedule.learning_rate.iterations=4", *arguments,
            f"output_dir={tmp_path}")  # fmt: skip
    whole, resumed = (
        torch.load(folder / "last.pt", weights_only=True)["weights"]
        for folder in (trained, tmp_path)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_all_errors_are_measured(
    data: Path, classifier: Path, trained: Path, tmp_path: Path
) -> None:
    run(test_localizer, f"checkpoint={trained / 'best.pt'}", f"data.root={data}",
        f"classifier={classifier}", f"output_dir={tmp_path}", *RUNTIME)  # fmt: skip
    metrics = read_json(tmp_path / "metrics.json")
    known = read_json(trained / "metrics.json")["best"]["error_gt_class"]
    assert metrics["error_gt_class"] == known
    assert metrics["error_top1"] >= metrics["error_top5"] >= metrics["classification_error_top5"]
    assert metrics["error_top5"] >= known  # a box does not depend on the classes beside it
    rows = list(csv.DictReader((tmp_path / "localizations.csv").open()))
    assert [row["ImageId"] for row in rows] == [f"val_{i:08d}" for i in range(4)]
    assert all(len(row["PredictionString"].split()) == 5 * 5 for row in rows)


def test_several_networks_and_views_in_one(data: Path, trained: Path, tmp_path: Path) -> None:
    files = f"[{trained / 'best.pt'},{trained / 'last.pt'}]"
    run(test_localizer, f"checkpoint={files}", f"data.root={data}", f"output_dir={tmp_path}",
        "views=multi_scale", "views.shorter_sides=[32,64]", "voting_iou=0.5", *RUNTIME)  # fmt: skip
    metrics = read_json(tmp_path / "metrics.json")
    assert {name for name in metrics if name.startswith("error")} == {
        *("error_gt_class", "error_centred_box")
    }


def test_the_mean_image_is_the_classifiers(data: Path, classifier: Path, tmp_path: Path) -> None:
    arguments = [*SMALL, "model/pixels=per_pixel_mean", f"data.root={data}",
                 "schedule.rules.iterations=1"]  # fmt: skip
    with pytest.raises(ValueError, match=r"best.pt: has none, and model/pixels=per_pixel_mean"):
        run(train_localizer, *arguments, f"weights={classifier}", f"output_dir={tmp_path / 'a'}")
    with pytest.raises(ValueError, match="takes the mean image of a classifier: give weights="):
        run(train_localizer, *arguments, f"output_dir={tmp_path / 'b'}")
    content = torch.load(classifier, weights_only=True)
    mean = torch.rand(32, 32, 3)
    content["weights"]["pixels.mean"] = mean
    content["model_config"]["pixels"] = {
        "_target_": "detection.model.pixels.PerPixelMean", "side": 32
    }  # fmt: skip
    ClassifierCheckpoint(**content).save(tmp_path / "with.pt")
    run(train_localizer, *arguments, f"weights={tmp_path / 'with.pt'}",
        f"output_dir={tmp_path / 'c'}")  # fmt: skip
    kept = torch.load(tmp_path / "c" / "last.pt", weights_only=True)["weights"]
    assert torch.equal(kept["pixels.mean"], mean)


def test_what_does_not_fit_is_named(
    data: Path, classifier: Path, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="is a classifier, and no localisation network"):
        run(test_localizer, f"checkpoint={classifier}", f"data.root={data}",
            f"output_dir={tmp_path}", *RUNTIME)  # fmt: skip
    with pytest.raises(ValueError, match="BN fixed as the identity"):
        run(train_localizer, *SMALL, "model.backbone.norm=frozen", f"data.root={data}",
            f"output_dir={tmp_path / 'x'}")  # fmt: skip
    # A classifier of other classes.
    content = torch.load(classifier, weights_only=True)
    other = tmp_path / "other.pt"
    ClassifierCheckpoint(
        **content | {"class_names": list("abcdefg")[: len(content["class_names"])]}
    ).save(other)
    with pytest.raises(ValueError, match="the localisation network has not: a, b, c"):
        run(test_localizer, f"checkpoint={trained / 'best.pt'}", f"data.root={data}",
            f"classifier={other}", f"output_dir={tmp_path}", *RUNTIME)  # fmt: skip
