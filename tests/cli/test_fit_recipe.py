"""schedule=auto: what is chosen is written, what is said stays, resume keeps it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from detection.cli.compose import CONFIGS, compose_config
from detection.cli.detector_run import detector_run
from detection.cli.fit_recipe import fit_recipe
from detection.cli.objects import as_plain
from detection.cli.resumed_settings import check_settings
from detection.cli.run_config import as_default
from detection.cli.training_data import open_training_data
from detection.engine.checkpoints import LAST
from detection.engine.folder_lock import MARKER
from detection.engine.recipe.timing import StepTime, measure_steps
from detection.engine.runtime import ALONE, Runtime
from detection.engine.train import MiniBatch
from detection.weights import first

CPU = Runtime(
    device=torch.device("cpu"), precision="fp32", workers=0, winograd=False, regions_at_once=64
)
EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))


def fitted(data: Path, out: Path, *words: str) -> DictConfig:
    said = ["schedule=auto", f"data.root={data}", f"output_dir={out}", *words]
    config = compose_config("train", said)
    fit_recipe(config, open_training_data(config), CPU, ALONE)
    return config


def test_values_are_written_where_nothing_is_said(
    example_files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["weights=r50.pt", "schedule.batch_size=3", "model.backbone.depth=101", "dry_run=true"]
    with caplog.at_level(logging.INFO):
        config = fitted(example_files / "data", tmp_path / "out", *words)

    assert config.schedule.batch_size == 3
    assert config.model.backbone.depth == 101
    assert config.model.roi_head.sampling.per_image == 32
    assert config.schedule.rules.iterations == 1500  # no fewer, however few the pictures
    assert config.schedule.recipe is None
    assert "The recipe for 4 pictures" in caplog.text
    assert "anchors: boxes are" in caplog.text
    assert "model.roi_head.sampling.per_image=32" in caplog.text
    assert "schedule.batch_size=" not in caplog.text.replace("(key=value", "")
    # Where two rules set one key it is told once, as it stands.
    assert caplog.text.count("      data.shorter_sides=") == 1
    assert "      data.shorter_sides=[224,320,416]" in caplog.text


def test_a_class_of_ones_own_is_left_alone(example_files: Path, tmp_path: Path) -> None:
    own = [
        "model.backbone._target_=detection.model.vgg.VGG16",
        "model.backbone.dropout=0.5",
        "model.backbone.pooled_size=7",
        "model.roi_head.pooled_size=7",
    ]
    config = fitted(example_files / "data", tmp_path / "out", "weights=x.pt", "dry_run=true", *own)
    assert config.model.backbone == compose_config("train", ["data.root=x", *own]).model.backbone
    assert config.model.roi_head.sampling.per_image == 32


def test_epochs_are_taken_as_they_are(example_files: Path, tmp_path: Path) -> None:
    words = ["weights=r50.pt", "schedule.recipe.epochs=9", "dry_run=true"]
    config = fitted(example_files / "data", tmp_path / "out", *words)
    assert config.schedule.rules.iterations == 18  # 4 pictures, two at a time


def test_epochs_are_timed_and_not_limited(
    example_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    second = StepTime(step=1.0, picture=0.5, measuring=30.0)
    monkeypatch.setattr("detection.cli.fit_recipe.measure_steps", lambda *_, **__: second)
    words = ["weights=random", "schedule.recipe.epochs=1000"]
    with caplog.at_level(logging.INFO):
        config = fitted(example_files / "data", tmp_path / "out", *words)
    assert config.schedule.rules.iterations == 4000 // config.schedule.batch_size
    assert "a step takes 1.00 s" in caplog.text


def test_a_taken_folder_is_refused_before_steps_are_timed(
    example_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "detection.cli.fit_recipe.measure_steps", lambda *_, **__: pytest.fail("timed")
    )
    (tmp_path / "best.pt").write_bytes(b"of another program")
    with pytest.raises(ValueError, match=r"holds best\.pt, which no run of ours wrote"):
        fitted(example_files / "data", tmp_path, "weights=random")


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "mini_batches"), [(0.001, 5), (60.0, 10)])
def test_a_short_training_is_timed_shortly(
    example_files: Path,
    tmp_path: Path,
    minutes: float,
    mini_batches: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["model/backbone=resnet_basic", "data.shorter_sides=[64]", "weights=random"]
    words += ["schedule.batch_size=1", "schedule.rules.iterations=30"]
    config = fitted(example_files / "data", tmp_path / "out", *words)
    run = detector_run(config, CPU, ALONE, open_training_data(config))
    seen = []

    def batches(start: int) -> Iterator[MiniBatch]:
        for mini_batch in run.batches(start):
            seen.append(mini_batch)
            yield mini_batch

    clock = itertools.count()  # a hundredth of a second for each look at it
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) / 100)
    measure_steps(replace(run, batches=batches), minutes=minutes)
    assert len(seen) == mini_batches


@pytest.mark.parametrize(
    "words",
    [
        ("minutes=3", "schedule.rules.iterations=9"),
        ("minutes=3", "schedule.recipe.epochs=9"),
        ("schedule.recipe.epochs=9", "schedule.rules.iterations=9"),
    ],
)
def test_the_length_is_said_once(words: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="say the same: give one"):
        compose_config("train", ["data.root=x", *words])


def test_a_model_that_is_chosen_is_left_alone(example_files: Path, tmp_path: Path) -> None:
    words = ["weights=r50.pt", "model=modern_c4", "dry_run=true"]
    config = fitted(example_files / "data", tmp_path / "out", *words)
    assert config.model == compose_config("train", ["data.root=x", "model=modern_c4"]).model
    assert list(config.data.shorter_sides) == [224, 320, 416]


def test_a_run_that_goes_on_keeps_its_values(example_files: Path, tmp_path: Path) -> None:
    words = ["weights=r50.pt", "schedule.rules.iterations=7"]
    before = fitted(example_files / "data", tmp_path, *words)
    before.schedule.learning_rate.warmup_iterations = 3  # as no rule would choose it
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(before))

    config = fitted(example_files / "data", tmp_path, "resume=true", "seed=1")
    assert config.schedule == before.schedule
    assert config.model == before.model
    assert config.weights == "r50.pt"

    with as_default(tmp_path / "config.yaml", "train"):
        assert compose_config("train", []).schedule == before.schedule


def test_a_run_of_an_earlier_version_has_not_all_keys(example_files: Path, tmp_path: Path) -> None:
    words = ["weights=r50.pt", "data.longest=777", "schedule.rules.iterations=7"]
    before = fitted(example_files / "data", tmp_path, *words)
    del before.data.colour
    del before.schedule.rules.ema_decay
    written = as_plain(before)
    written["model"]["regions_at_once"] = written["runtime"].pop("regions_at_once")
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(written)))
    config = fitted(example_files / "data", tmp_path, "resume=true")
    assert (config.data.longest, config.data.colour) == (777, 0)
    assert config.schedule.rules.ema_decay is None
    assert "regions_at_once" not in config.model
    config.resume = True
    (tmp_path / LAST).touch()
    (tmp_path / MARKER).write_text('{"version": "0.0.1"}')
    assert check_settings(tmp_path, config)
    assert config.schedule.optimizer == before.schedule.optimizer
    assert config.data.test_shorter_side == before.data.test_shorter_side


def test_a_run_of_a_later_version_has_more_keys(example_files: Path, tmp_path: Path) -> None:
    words = ["weights=r50.pt", "schedule.rules.iterations=7"]
    before = fitted(example_files / "data", tmp_path, *words)
    written = as_plain(before)
    written["model"]["backbone"]["width"] = 3
    written["data"]["mosaic"] = {"probability": 0.5}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(written)))
    config = fitted(example_files / "data", tmp_path, "resume=true")
    assert (config.model.backbone.width, config.data.mosaic.probability) == (3, 0.5)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_experiment_is_fitted(experiment: str) -> None:
    words = [f"experiment={experiment}", "data.root=x"]
    for command in ("train", "alternating"):
        schedule = compose_config(command, words).schedule
        assert schedule.recipe is None
    if experiment.startswith(("table8", "table9", "table12")):
        assert compose_config("train", words).schedule.rules.iterations == 320_000


def test_alternating_training_keeps_the_papers_schedule() -> None:
    schedule = compose_config("alternating", ["data.root=x"]).schedule
    assert (schedule.rules.iterations, schedule.batch_size) == (320_000, 8)


def test_the_first_weights_that_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.delenv("DETECTION_WEIGHTS", raising=False)
    nothing = first.first_weights_here(fetch=False, is_reachable=lambda _: False)
    assert (nothing.detector, nothing.backbone) == (None, None)
    assert "WARNING: no pre-trained weights" in nothing.reason

    there = first.first_weights_here(fetch=False, is_reachable=lambda _: True)
    assert there.detector == "coco_r50_c4"

    monkeypatch.setenv("DETECTION_WEIGHTS", str(tmp_path))
    (tmp_path / first.PUBLISHED["msra_r50"].file().name).write_bytes(b"x")
    kept = first.first_weights_here(fetch=False, is_reachable=lambda _: pytest.fail("asked"))
    assert (kept.detector, kept.backbone) == (None, "msra_r50")


@pytest.mark.parametrize(
    ("words", "init", "weights"),
    [
        ([], "coco_r50_c4", None),
        (["model.rpn.anchors.sizes=[32,64]"], None, "msra_r50"),
        (["model.roi_head.sampling.per_image=16"], "coco_r50_c4", None),
        (["model.backbone.frozen_stages=[]"], "coco_r50_c4", None),
        (["model.backbone.depth=101"], None, None),
        (["model=modern_c4"], None, None),
    ],
)
def test_first_weights_are_looked_for_where_they_fit(
    words: list[str],
    init: str | None,
    weights: str | None,
    example_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detection.weights.first._is_reachable", lambda address: True)
    monkeypatch.delenv("DETECTION_WEIGHTS", raising=False)
    config = fitted(example_files / "data", tmp_path / "out", "dry_run=true", *words)
    assert (config.init, config.weights) == (init, weights)
