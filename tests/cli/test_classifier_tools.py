"""The classifier's tools as a user calls them, on a few generated pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.cli import (
    bn_statistics,
    degradation,
    plot_curves,
    test_classifier,
    train_classifier,
    train_net,
)
from detection.cli.compose import compose_config
from detection.engine.log import read_log
from detection.shapes.dataset import generate

pytestmark = pytest.mark.slow

RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
SMALL = [
    "experiment=classification/cifar",
    "model.backbone.depth=8",
    "model.backbone.widths=[4,4,8]",
    "schedule.batch_size=8",
    "schedule.learning_rate.reference_batch=8",
    "schedule.rules.log_every=1",
    "schedule.rules.evaluate_every=2",
    *RUNTIME,
]


CONFIG = {
    train_classifier: "classifier",
    test_classifier: "test_classifier",
    bn_statistics: "bn_statistics",
    plot_curves: "plot_curves",
    train_net: "train",
}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def run(tool: ModuleType, *arguments: str) -> None:
    """The tool in this process."""
    tool.main(compose_config(CONFIG[tool], list(arguments)))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def data(bright_and_dark: Path) -> Path:
    return bright_and_dark


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(train_classifier, *SMALL, f"data.root={data}", f"output_dir={folder}",
        "schedule.rules.iterations=4")  # fmt: skip
    return folder


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]


def test_training_leaves_what_programs_read(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    assert 0 <= metrics["best"]["error"] <= metrics["error"] <= 1
    lines = read_log(trained / "log.jsonl")
    assert [(line["iteration"], line["kind"]) for line in lines] == [
        (1, "train"), (2, "train"), (2, "validation"),
        (3, "train"), (4, "train"), (4, "validation"),
    ]  # fmt: skip
    for name in ("best.pt", "last.pt", "config.yaml", "loss.png", "tensorboard"):
        assert (trained / name).exists(), name
    # The mean image of bright and dark training pictures lies between them.
    assert 100 < float(weights_of(trained / "last.pt")["pixels.mean"].mean()) < 150


def test_a_killed_and_resumed_training_ends_with_the_same_weights(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    arguments = [*SMALL, f"data.root={data}", f"output_dir={tmp_path}"]
    run(train_classifier, *arguments, "schedule.rules.iterations=2")
    with pytest.raises(ValueError, match="resume=true"):
        run(train_classifier, *arguments)
    run(train_classifier, *arguments, "schedule.rules.iterations=4", "resume=true")
    resumed = weights_of(tmp_path / "last.pt")
    for name, value in weights_of(trained / "last.pt").items():
        assert torch.equal(resumed[name], value), name


def test_testing_repeats_the_error_of_training(trained: Path, data: Path, tmp_path: Path) -> None:
    arguments = [f"checkpoint={trained / 'last.pt'}", f"data.root={data}", "data.split=test"]
    run(test_classifier, *arguments, *RUNTIME, f"output_dir={tmp_path / 'a'}")
    assert read_json(tmp_path / "a" / "metrics.json")["error"] == pytest.approx(
        read_json(trained / "metrics.json")["error"]
    )
    run(test_classifier, *arguments, *RUNTIME, f"output_dir={tmp_path / 'b'}",
        "views=multi_scale", "views.shorter_sides=[24,32]")  # fmt: skip
    assert read_json(tmp_path / "b" / "metrics.json")["views"]["shorter_sides"] == [24, 32]
    twice = f"checkpoint=[{trained / 'last.pt'},{trained / 'best.pt'}]"  # ensemble of the same
    run(test_classifier, twice, *arguments[1:], *RUNTIME, f"output_dir={tmp_path / 'c'}")
    assert 0 <= read_json(tmp_path / "c" / "metrics.json")["error"] <= 1


def test_curves_of_two_runs(trained: Path, tmp_path: Path) -> None:
    arguments = [f"runs=[{trained},{trained}]", f"output={tmp_path / 'curves.png'}"]
    with pytest.raises(ValueError, match="labels must be"):
        run(plot_curves, *arguments)
    run(plot_curves, *arguments, "labels=[plain,ResNet]")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_the_degradation_figure_of_small_networks(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = compose_config(
        "degradation", [f"data.root={data}", f"output_dir={tmp_path}", *RUNTIME]
    )
    config.common = ["experiment=classification/degradation", *SMALL[1:7]]
    config.common += ["data.train_images=null", "schedule.rules.iterations=2"]
    config.runs = {"plain-8": ["model.backbone.shortcut=none"], "ResNet-8": []}
    degradation.main(config)
    errors = read_json(tmp_path / "metrics.json")["runs"]
    assert set(errors) == {"plain-8", "ResNet-8"}
    assert cv2.imread(str(tmp_path / "degradation.png")) is not None
    caplog.clear()
    degradation.main(config)
    assert caplog.text.count("there already") == 2


def test_a_classifier_initialises_a_detector_in_one_override(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = generate(root=tmp_path / "shapes", splits={"train": 4, "val": 2}, seed=3, image_side=128)
    classes = tmp_path / "classes"
    for name in ("a", "b"):
        for split in ("train", "val"):
            (classes / split / name).mkdir(parents=True)
            for i in range(2):
                image = np.full((32, 32, 3), 90 * (name == "b") + i, dtype=np.uint8)
                cv2.imwrite(str(classes / split / name / f"{i}.png"), image)
    run(train_classifier, "experiment=classification/demo", f"data.root={classes}",
        "data.crop.side=32", "schedule.batch_size=4", "schedule.rules.iterations=1", *RUNTIME,
        f"output_dir={tmp_path / 'classifier'}")  # fmt: skip
    best = tmp_path / "classifier" / "best.pt"
    run(train_net, "experiment=demo", f"data.root={data}", f"weights={best}",
        "data.shorter_sides=[96]", "schedule.rules.iterations=1", *RUNTIME,
        f"output_dir={tmp_path / 'detector'}")  # fmt: skip
    assert "100 tensors into the backbone" in caplog.text
    detector = weights_of(tmp_path / "detector" / "last.pt")
    name = "conv1.bn.running_var"  # frozen: as it came
    assert torch.equal(detector[f"backbone.{name}"], weights_of(best)[f"backbone.{name}"])


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (train_classifier, ["data.root=/nowhere"], "/nowhere: no such folder"),
        (train_classifier, ["data.root={data}"], "val: no such folder"),
        (test_classifier, ["data.root={data}", "checkpoint=x.pt"], "x.pt: no such checkpoint"),
        (bn_statistics, ["data.root={data}", "checkpoint={data}/x"], "x: no such checkpoint"),
        (plot_curves, ["runs=[{data}]"], "no error logged there"),
    ],
)
def test_wrong_input_is_named(
    data: Path, tmp_path: Path, tool: ModuleType, arguments: list[str], message: str
) -> None:
    filled = [argument.format(data=data) for argument in arguments]
    if tool is not plot_curves:
        filled.append(f"output_dir={tmp_path / 'out'}")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(tool, *filled)
