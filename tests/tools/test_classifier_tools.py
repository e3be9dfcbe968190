"""The classifier's tools as a user calls them, on a few generated pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.data.shapes import generate
from detection.engine.log import read_log

ROOT = Path(__file__).resolve().parents[2]
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


def run(tool: str, *arguments: str, fails: bool = False, processes: int = 1) -> str:
    """The tool's stderr; ``fails``: whether it has to."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    done = subprocess.run(
        [*command, str(ROOT / "tools" / tool), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    if fails:
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done.stderr


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, bright and dark, 16 + 6 pictures."""
    root = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for name, level in (("bright", 200), ("dark", 50)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = np.clip(random.normal(level, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(root / split / name / f"{i}.png"), image)
    return root


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run("train_classifier.py", *SMALL, f"data.root={data}", f"output_dir={folder}",
        "schedule.rules.iterations=4")  # fmt: skip
    return folder


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]


def test_training_leaves_what_programs_read(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    assert 0 <= metrics["lowest_error"] <= metrics["error"] <= 1
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
    run("train_classifier.py", *arguments, "schedule.rules.iterations=2")
    assert "resume=true" in run("train_classifier.py", *arguments, fails=True)
    run("train_classifier.py", *arguments, "schedule.rules.iterations=4", "resume=true")
    resumed = weights_of(tmp_path / "last.pt")
    for name, value in weights_of(trained / "last.pt").items():
        assert torch.equal(resumed[name], value), name


def test_two_processes_equal_one(data: Path, tmp_path: Path) -> None:
    # With fixed BN: each process normalises by its own part of the mini-batch, as in the paper.
    weights = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        run("train_classifier.py", *SMALL, f"data.root={data}", f"output_dir={folder}",
            "model.backbone.norm=frozen", "schedule.rules.iterations=2",
            "schedule.learning_rate.reference=0.001", processes=processes)  # fmt: skip
        weights.append(weights_of(folder / "last.pt"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_statistics_do_not_depend_on_processes_and_batches(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    found = []
    for processes, batch_size in ((1, 16), (2, 3)):
        folder = tmp_path / str(processes)
        run("bn_statistics.py", f"checkpoint={trained / 'last.pt'}", f"data.root={data}", *RUNTIME,
            "data.val_split=test", f"batch_size={batch_size}", f"output_dir={folder}",
            processes=processes)  # fmt: skip
        found.append(weights_of(folder / "classifier.pt"))
        assert {"error", "error_before"} <= read_json(folder / "metrics.json").keys()
    before = weights_of(trained / "last.pt")
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-5, msg=name)
        assert torch.equal(value, before[name]) != name.endswith(("mean", "running_var")) or (
            name == "pixels.mean"
        )


def test_testing_repeats_the_error_of_training(trained: Path, data: Path, tmp_path: Path) -> None:
    arguments = [f"checkpoint={trained / 'last.pt'}", f"data.root={data}", "data.split=test"]
    run("test_classifier.py", *arguments, *RUNTIME, f"output_dir={tmp_path / 'a'}")
    assert read_json(tmp_path / "a" / "metrics.json")["error"] == pytest.approx(
        read_json(trained / "metrics.json")["error"]
    )
    run("test_classifier.py", *arguments, *RUNTIME, f"output_dir={tmp_path / 'b'}",
        "views=multi_scale", "views.shorter_sides=[24,32]")  # fmt: skip
    assert read_json(tmp_path / "b" / "metrics.json")["views"]["shorter_sides"] == [24, 32]


def test_curves_of_two_runs(trained: Path, tmp_path: Path) -> None:
    arguments = [f"runs=[{trained},{trained}]", f"output={tmp_path / 'curves.png'}"]
    assert "labels must be" in run("plot_curves.py", *arguments, fails=True)
    run("plot_curves.py", *arguments, "labels=[plain,ResNet]")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_the_degradation_figure_of_small_networks(data: Path, tmp_path: Path) -> None:
    common = ["experiment=classification/degradation", *SMALL[1:4], *SMALL[5:7],
              "data.train_images=null", "schedule.rules.iterations=2"]  # fmt: skip
    arguments = [f"data_root={data}", f"output_dir={tmp_path}", *RUNTIME,
                 f"common={[c.replace(' ', '') for c in common]}",
                 "~runs.plain-56", "~runs.ResNet-56", "runs.ResNet-20=[]",
                 "runs.plain-20=[model.backbone.shortcut=none]"]  # fmt: skip
    run("degradation.py", *arguments)
    errors = read_json(tmp_path / "metrics.json")["runs"]
    assert set(errors) == {"plain-20", "ResNet-20"}
    assert cv2.imread(str(tmp_path / "degradation.png")) is not None
    assert run("degradation.py", *arguments).count("there already") == 2


def test_a_classifier_initialises_a_detector_in_one_override(tmp_path: Path) -> None:
    data = generate(root=tmp_path / "shapes", splits={"train": 4, "val": 2}, seed=3, image_side=96)
    classes = tmp_path / "classes"
    for name in ("a", "b"):
        for split in ("train", "val"):
            (classes / split / name).mkdir(parents=True)
            for i in range(2):
                image = np.full((32, 32, 3), 90 * (name == "b") + i, dtype=np.uint8)
                cv2.imwrite(str(classes / split / name / f"{i}.png"), image)
    run("train_classifier.py", "experiment=classification/demo", f"data.root={classes}",
        "data.crop.side=32", "schedule.batch_size=4", "schedule.rules.iterations=1", *RUNTIME,
        f"output_dir={tmp_path / 'classifier'}")  # fmt: skip
    best = tmp_path / "classifier" / "best.pt"
    said = run("train_net.py", "experiment=demo", f"data.root={data}", f"weights={best}",
        "data.shorter_sides=[96]", "schedule.rules.iterations=1", *RUNTIME,
        f"output_dir={tmp_path / 'detector'}")  # fmt: skip
    assert "100 tensors into the backbone" in said
    detector = weights_of(tmp_path / "detector" / "last.pt")
    name = "conv1.bn.running_var"  # frozen: as it came
    assert torch.equal(detector[f"backbone.{name}"], weights_of(best)[f"backbone.{name}"])


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("train_classifier.py", ["data.root=/nowhere"], "/nowhere: no such folder"),
        ("train_classifier.py", ["data.root={data}"], "val: no such folder"),
        ("test_classifier.py", ["data.root={data}", "checkpoint=x.pt"], "x.pt: no such checkpoint"),
        ("bn_statistics.py", ["data.root={data}", "checkpoint={data}/x"], "x: no such checkpoint"),
        ("plot_curves.py", ["runs=[{data}]"], "no error logged there"),
    ],
)
def test_wrong_input_is_named_without_a_traceback(
    data: Path, tmp_path: Path, tool: str, arguments: list[str], message: str
) -> None:
    filled = [argument.format(data=data) for argument in arguments]
    if tool != "plot_curves.py":
        filled.append(f"output_dir={tmp_path / 'out'}")
    assert message in run(tool, *filled, fails=True)
