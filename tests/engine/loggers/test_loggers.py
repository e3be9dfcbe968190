"""The loggers of a training: each gets all numbers and pictures, and none can end the training."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from detection.engine.log import TrainingLog, read_log
from detection.engine.loggers.logger import check_installed
from detection.visualization.image import Image

RED = np.full((20, 30, 3), (0, 0, 255), np.uint8)  # BGR
SETTINGS = "seed: 1\nschedule: {rate: 0.1}\n"


@pytest.fixture(autouse=True)
def _no_accounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no ~/.netrc
    # Half a second of matplotlib, which has tests of its own.
    monkeypatch.setattr("detection.visualization.curves.plot_training", lambda lines, picture: None)


def train(folder: Path, *loggers: Any, start: int = 0, last: int = 2) -> TrainingLog:
    """A training of iterations ``start`` + 1 ... ``last``, that is validated at the end."""
    pictures: dict[str, Image] = {"pictures/1_cat": RED}
    log = TrainingLog(
        folder, start=start, loggers=loggers, settings=SETTINGS, pictures=lambda: pictures
    )
    for iteration in range(start + 1, last + 1):
        log.write(iteration, "train", {"total": 10.0 - iteration, "note": "a text"})
    log.write(last, "validation", {"AP": 0.1 * last, "AP75": None})
    log.close()
    return log


@pytest.mark.slow
def test_tensorboard_has_the_numbers_and_the_pictures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tmp_path, "tensorboard")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/total")] == [(1, 9.0), (2, 8.0)]
    assert events.Tags()["scalars"] == ["train/total", "validation/AP"]
    (shown,) = events.Images("pictures/1_cat")
    assert (shown.step, shown.width, shown.height) == (2, 30, 20)
    decoded = cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - RED).max() < 8


def test_without_a_logger_there_are_the_files_alone(tmp_path: Path) -> None:
    asked: list[int] = []
    log = TrainingLog(tmp_path, start=0, loggers=(), pictures=lambda: asked.append(1) or {})
    log.write(1, "validation", {"AP": 0.5})
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl"}
    assert not asked  # nothing is drawn for nobody


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_one_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"logger={name} needs a package .* pip install {name}"):
        check_installed([name])
    check_installed(["tensorboard"])


class FakeWandb(ModuleType):
    """The calls of wandb that are used here, and what they were given."""

    Error = type("Error", (Exception,), {})

    def __init__(self, key: str | None = None, answers: bool = True) -> None:
        super().__init__("wandb")
        self.api = SimpleNamespace(api_key=key)
        self.begun: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.finished = 0
        self._answers = answers

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings

    def Image(self, picture: Image, file_type: str) -> tuple[list[int], str]:  # noqa: N802
        return picture[0, 0].tolist(), file_type

    def init(self, **arguments: Any) -> Any:
        if arguments["mode"] == "online" and not self._answers:
            raise self.Error("no route to host")
        self.begun.append(arguments)
        return SimpleNamespace(
            id=arguments["id"] or "abc",
            dir="runs/files",
            log=self.logged.append,
            define_metric=lambda name, step_metric: None,
            finish=lambda: setattr(self, "finished", self.finished + 1),
        )


def test_wandb_without_a_key_is_offline_and_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with caplog.at_level(logging.INFO):
        train(tmp_path / "mine", "wandb")
    (begun,) = wandb.begun
    assert begun["mode"] == "offline"
    assert begun["name"] == "mine"
    assert begun["config"] == {"seed": 1, "schedule": {"rate": 0.1}}
    assert wandb.logged == [
        {"iteration": 1, "train/total": 9.0},
        {"iteration": 2, "train/total": 8.0},
        {"iteration": 2, "validation/AP": 0.2},
        {"iteration": 2, "pictures/1_cat": ([255, 0, 0], "jpg")},  # RGB
    ]
    assert wandb.finished == 1
    assert "set WANDB_API_KEY" in caplog.text
    assert "wandb sync runs" in caplog.text


def test_wandb_goes_on_with_the_run_that_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb(key="k")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(tmp_path, "wandb")
    train(tmp_path, "wandb", start=2, last=3)
    train(tmp_path, "wandb")
    assert [run["id"] for run in wandb.begun] == [None, "abc", None]
    assert [run["resume"] for run in wandb.begun] == [None, "allow", None]
    assert {run["mode"] for run in wandb.begun} == {"online"}


def test_wandb_without_a_network_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb = FakeWandb(key="k", answers=False)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(tmp_path, "wandb")
    assert [run["mode"] for run in wandb.begun] == ["offline"]
    assert "no route to host" in caplog.text
    monkeypatch.setenv("WANDB_MODE", "disabled")  # what the user says, holds
    train(tmp_path, "wandb")
    assert wandb.begun[-1]["mode"] == "disabled"


class FakeMlflow(ModuleType):
    MlflowException = type("MlflowException", (Exception,), {})

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[Any, ...]] = []
        self.uris: list[str] = []
        self.entities = SimpleNamespace(Metric=lambda name, value, now, step: (name, value, step))
        self.fails = False

    def MlflowClient(self, uri: str) -> FakeMlflow:  # noqa: N802
        self.uris.append(uri)
        return self

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        return "7"

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.calls.append(("run", experiment, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def update_run(self, run: str, status: str) -> None:
        self.calls.append(("again", run, status))

    def log_text(self, run: str, text: str, name: str) -> None:
        self.calls.append(("text", run, text, name))

    def log_batch(self, run: str, metrics: list[tuple[Any, ...]]) -> None:
        if self.fails:
            raise self.MlflowException("the server is gone")
        self.calls += [(run, *metric) for metric in metrics]

    def log_image(self, run: str, picture: Image, key: str, step: int) -> None:
        self.calls.append((run, key, picture[0, 0].tolist(), step))

    def set_terminated(self, run: str) -> None:
        self.calls.append(("end", run))


def test_mlflow_has_all_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    train(tmp_path / "mine", "mlflow")
    assert mlflow.calls == [
        ("run", "7", "mine"),
        ("text", "r1", SETTINGS, "config.yaml"),
        ("r1", "train/total", 9.0, 1),
        ("r1", "train/total", 8.0, 2),
        ("r1", "validation/AP", 0.2, 2),
        ("r1", "pictures/1_cat", [255, 0, 0], 2),
        ("end", "r1"),
    ]
    assert mlflow.uris == [f"sqlite:///{tmp_path / 'mine' / 'mlflow.db'}"]
    mlflow.calls.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    train(tmp_path / "mine", "mlflow", start=2, last=3)
    assert mlflow.calls[0] == ("again", "r1", "RUNNING")
    assert mlflow.uris[-1] == "http://localhost:5000"


def test_a_logger_that_fails_is_left_out_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow, wandb = FakeMlflow(), FakeWandb()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    mlflow.fails = True
    log = train(tmp_path, "mlflow", "wandb")
    assert caplog.text.count("the server is gone") == 1
    assert len(read_log(log.path)) == 3
    assert len(wandb.logged) == 4


@pytest.mark.slow
def test_the_real_wandb_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    train(tmp_path, "wandb")
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert [*run.glob("*.wandb")]
    assert [*run.rglob("*.jpg")]
    first = (tmp_path / "wandb" / "run_id.txt").read_text()
    train(tmp_path, "wandb", start=2, last=3)
    assert (tmp_path / "wandb" / "run_id.txt").read_text() == first


@pytest.mark.slow
def test_the_real_mlflow_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    train(tmp_path / "mine", "mlflow")
    train(tmp_path / "mine", "mlflow", start=2, last=3)
    client = mlflow.MlflowClient((tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("detection")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/total")
    assert [(metric.step, metric.value) for metric in history] == [(1, 9.0), (2, 8.0), (3, 7.0)]
    assert run.info.status == "FINISHED"
    assert len([*(tmp_path / "store").rglob("*pictures*.png")]) == 2


def test_the_log_has_every_line(tmp_path: Path) -> None:
    log = train(tmp_path)
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["train", "train", "validation"]
