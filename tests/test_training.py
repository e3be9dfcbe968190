"""Training from Python is what the command does, and epochs become iterations."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection import Detector, TrainedRun, evaluate, train
from detection.cli.from_python import configuration
from detection.training import _in_epochs


@pytest.mark.slow
def test_a_training_returns_its_run(in_example_files: Path) -> None:
    before = logging.getLogger().handlers[:]
    run = train("data", epochs=1, output_dir="outputs/mine", seed=3)
    assert logging.getLogger().handlers == before
    assert run.folder == Path("outputs/mine")
    assert run.checkpoint == run.folder / "best.pt"
    assert {"coco", "voc", "best"} <= run.metrics.keys()
    assert "seed: 3" in (run.folder / "config.yaml").read_text()
    assert "iterations: 2\n" in (run.folder / "config.yaml").read_text()  # 4 images, 2 at a time
    scores = evaluate(run.detector(device="cpu"), "data")
    assert scores.coco.as_dict()["AP"] == pytest.approx(run.metrics["coco"]["AP"], abs=1e-3)
    with pytest.raises(ValueError, match="outputs/mine"):
        train("data", epochs=1, output_dir="outputs/mine")


@pytest.fixture
def config(example_files: Path) -> Any:
    return configuration(
        "train",
        {"schedule": "paper2015", "schedule.batch_size": 2},
        paths={"data.root": example_files / "data"},
    )


def test_an_epoch_is_the_training_set_once(config: Any) -> None:
    # paper2015: 320,000 iterations, the rate falls after 240,000 of them; 4 images, 2 at a time.
    found = _in_epochs(config, 12, {"seed": 1})
    assert found == {
        "seed": 1,
        "schedule.rules.iterations": 24,
        "schedule.rules.evaluate_every": 2,
        "schedule.rules.checkpoint_every": 2,
        "schedule.learning_rate.warmup_iterations": 0,
        "schedule.learning_rate.milestones": [18],
    }


def test_what_is_given_stays(example_files: Path) -> None:
    given = {
        "experiment": "modern_c4",
        "schedule.batch_size": 1,
        "schedule.learning_rate.milestones": [5],
    }
    config = configuration("train", given, paths={"data.root": example_files / "data"})
    found = _in_epochs(config, 2.5, given)
    assert found["schedule.rules.iterations"] == 10
    assert found["schedule.learning_rate.milestones"] == [5]
    assert found["schedule.learning_rate.warmup_iterations"] == 1  # of 1000


def test_a_measurement_at_the_end_alone_stays_at_the_end(example_files: Path) -> None:
    given = {"experiment": "r50_c4_small_cpu"}
    config = configuration("train", given, paths={"data.root": example_files / "data"})
    found = _in_epochs(config, 3, given)
    assert "schedule.rules.evaluate_every" not in found
    assert "schedule.learning_rate.milestones" not in found
    assert configuration("train", found, paths={"data.root": "data"}).schedule.rules.iterations == 6


def test_parts_of_a_few_iterations_may_be_none(config: Any) -> None:
    # 240,000 of 320,000 are 1.5 of 2: the rate would fall when all is over.
    found = _in_epochs(config, 1, {"schedule": "paper2015"})
    assert found["schedule.learning_rate.milestones"] == []
    assert configuration("train", found, paths={"data.root": "data"}).schedule.rules.iterations == 2


def test_the_recipe_takes_epochs_as_they_are(example_files: Path) -> None:
    config = configuration("train", {}, paths={"data.root": example_files / "data"})
    assert _in_epochs(config, 2, {"seed": 1}) == {"seed": 1, "schedule.recipe.epochs": 2.0}


def test_numbers_of_numpy_are_numbers() -> None:
    given = {"schedule.batch_size": np.int64(2), "data.flip_probability": np.float32(0.25)}
    config = configuration("train", given, paths={"data.root": "data"})
    assert (config.schedule.batch_size, config.data.flip_probability) == (2, 0.25)


def test_a_folder_is_a_path() -> None:
    with pytest.raises(ValueError, match=r"data\.root: a path is needed, got 3"):
        train(3)  # type: ignore[arg-type]


def test_a_run_that_has_not_ended_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the training has not come to its end"):
        _ = TrainedRun(str(tmp_path)).metrics  # type: ignore[arg-type]


@pytest.mark.parametrize("epochs", [0, -1, True, "3", float("nan"), float("inf")])
def test_epochs_are_a_number_above_zero(config: Any, epochs: Any) -> None:
    with pytest.raises(ValueError, match="epochs must be a number above 0"):
        _in_epochs(config, epochs, {})


def test_epochs_and_iterations_are_the_same(config: Any) -> None:
    with pytest.raises(ValueError, match="leave one of them out"):
        _in_epochs(config, 1, {"schedule.rules.iterations": 4})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": 3}, "there is no key 'epoch'"),
        ({"experiment": "mine"}, "there is no such experiment"),
        ({"seed": object()}, "a value is a number, a text"),
        ({"schedule.batch_size": "two"}, "schedule.batch_size='two': must be a whole number"),
    ],
)
def test_a_wrong_key_or_value_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train("data", **given)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"data\.root: a value is needed"):
        configuration("train", {})


@pytest.mark.parametrize(
    "text", ["a b", 'it\'s "x"', "C:\\a\\", '\\"q', "照片/x=1,2", "a\\", "null", "3", "[a]"]
)
def test_a_text_arrives_as_it_is(text: str) -> None:
    given = {"weights": text, "data.classes": [text, "b"]}
    config = configuration("train", given, paths={"data.root": Path(text)})
    assert config.weights == text
    assert list(config.data.classes) == [text, "b"]
    assert config.data.root == str(Path(text))


def test_no_annotations_nothing_to_measure(in_example_files: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match="no_such_split"):
        evaluate(Detector.load("best.pt", device="cpu"), "data", split="no_such_split")
