"""A training as an object that any program makes and starts."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.loader import LabelledBatch
from detection.engine.distributed import Processes
from detection.engine.log import read_log
from detection.engine.optimizers import adamw
from detection.engine.runtime import Runtime
from detection.engine.schedules import LinearDecay
from detection.engine.train import MiniBatch, TrainingRules
from detection.engine.training_run import TrainingRun
from detection.engine.validation import Goal
from detection.structures import Metrics

pytestmark = pytest.mark.slow

NAMES = ["dark", "bright"]
ITERATIONS = 4
MODEL = {
    "_target_": "detection.classification.classifier.Classifier",
    "num_classes": 2,
    "pixels": {
        "_target_": "detection.model.pixels.PixelFormat",
        "order": "BGR",
        "mean": [128.0] * 3,
        "std": [64.0] * 3,
    },
    "backbone": {
        "_target_": "detection.classification.cifar.CifarResNet",
        "depth": 8,
        "widths": [4, 4, 4],
        "shortcut": "A",
        "norm": "frozen",
    },
}


class Counted:
    """A validation whose error is 1 over the number of times that it was asked."""

    goal: ClassVar[Goal] = Goal("error", higher_is_better=False)

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Metrics:
        self.calls += 1
        return {"error": 1 / self.calls}

    def entries(self) -> dict[str, Any]:
        return {"error": 1 / self.calls}

    def table(self) -> str:
        return "the table"


def batches(start: int) -> list[LabelledBatch]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (ITERATIONS, 2, 8, 8, 3), generator=generator).byte()
    return [LabelledBatch(pair, torch.tensor([0, 1])) for pair in images][start:]


def make_run(
    folder: Path,
    *,
    resume: bool = False,
    iterations: int = ITERATIONS,
    initialise: Callable[[], Mapping[str, Any]] = dict,
) -> TrainingRun:
    torch.manual_seed(1)
    template = ClassifierCheckpoint(weights={}, model_config=MODEL, views={}, class_names=NAMES)
    model = build(MODEL)
    return TrainingRun(
        folder=folder,
        resume=resume,
        template=template,
        model=model,
        network=model,
        initialise=initialise,
        optimizer=functools.partial(adamw, betas=(0.9, 0.99), weight_decay=0.0),
        learning_rate=LinearDecay(
            reference=0.01,
            reference_batch=2,
            batch_size=2,
            warmup_iterations=0,
            warmup_factor=1.0,
            iterations=ITERATIONS,
        ),
        rules=TrainingRules(
            iterations=iterations,
            accumulate=1,
            clip_norm=None,
            log_every=1,
            evaluate_every=2,
            checkpoint_every=0,
            patience=None,
            ema_decay=None,
        ),
        batches=lambda start: batches(start)[: iterations - start],
        validation=Counted(),
        runtime=Runtime(torch.device("cpu"), "fp32", workers=0, winograd=False, regions_at_once=64),
        processes=Processes(0, 1, 0),
        seed=3,
        settings="kept: as it is\n",
    )


def test_a_run_fills_its_folder_and_returns_what_it_measured(tmp_path: Path) -> None:
    assert make_run(tmp_path / "run").run() == {"error": 0.5}  # validated after 2 and 4
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "best.pt", "last.pt", "log.jsonl", "metrics.json", "loss.png", "tensorboard", "config.yaml",
        ".detection-run.json", ".detection-run.lock",
    }  # fmt: skip
    assert (tmp_path / "run" / "config.yaml").read_text() == "kept: as it is\n"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["error"], metrics["best"]) == (0.5, {"error": 0.5})
    kinds = [line["kind"] for line in read_log(tmp_path / "run" / "log.jsonl")]
    assert kinds == ["train", "train", "validation"] * 2


def test_after_each_step_the_runtime_may_follow_neighbours(tmp_path: Path) -> None:
    calls: list[None] = []
    run = make_run(tmp_path / "run")
    run.runtime = replace(run.runtime, follow_neighbours=lambda: calls.append(None))
    run.run()
    assert len(calls) == ITERATIONS


def test_a_run_that_is_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    make_run(tmp_path / "whole").run()
    make_run(tmp_path / "halves", iterations=2).run()

    def must_not_be_called() -> Mapping[str, Any]:
        raise AssertionError("a resumed run has its weights")

    resumed = make_run(tmp_path / "halves", resume=True, initialise=must_not_be_called)
    resumed.run()
    whole, halves = (
        ClassifierCheckpoint.load(tmp_path / name / "last.pt") for name in ("whole", "halves")
    )
    assert whole.training["iteration"] == halves.training["iteration"] == ITERATIONS
    assert all(torch.equal(whole.weights[name], halves.weights[name]) for name in whole.weights)


def test_what_the_first_weights_say_of_the_model_stays_in_its_checkpoints(tmp_path: Path) -> None:
    make_run(tmp_path, iterations=2, initialise=lambda: {"trained": ["rpn"]}).run()
    make_run(tmp_path, resume=True).run()
    for name in ("best.pt", "last.pt"):
        assert ClassifierCheckpoint.load(tmp_path / name).training["trained"] == ["rpn"]


def test_nothing_is_left_to_do(tmp_path: Path) -> None:
    make_run(tmp_path).run()
    before = (tmp_path / "metrics.json").read_bytes()
    assert make_run(tmp_path, resume=True).run() is None
    assert (tmp_path / "metrics.json").read_bytes() == before


def test_a_folder_with_a_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make_run(tmp_path).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="go on from it with resume=true"):
        make_run(tmp_path).run()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import test_training_run as t

run = t.make_run(Path({folder!r}), resume=True, iterations=t.ITERATIONS)
print("ready", flush=True)
run.run()
"""


def script(folder: Path) -> list[str]:
    """A program that starts the run, or goes on with it."""
    here = Path(__file__).resolve()
    text = KILLED.format(root=str(here.parents[2]), tests=str(here.parent), folder=str(folder))
    return [sys.executable, "-c", text]


def test_killed_at_any_moment_and_resumed_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    make_run(tmp_path / "whole").run()
    expected = read_log(tmp_path / "whole" / "log.jsonl")
    folder = tmp_path / "killed"
    make_run(folder, iterations=1).run()
    (folder / "metrics.json").unlink()
    delays = random.Random(0)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for _ in range(4):
        with subprocess.Popen(
            script(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            time.sleep(delays.uniform(0.0, 0.4))
            process.kill()
    make_run(folder, resume=True).run()
    assert (folder / "metrics.json").is_file()
    assert not list(folder.glob("*.partial")) + list(folder.glob(".*.partial"))
    lines = read_log(folder / "log.jsonl")
    # The first stretch of one iteration was a whole run: it ended with a validation of its own.
    kinds = [(line["iteration"], line["kind"]) for line in lines]
    assert [kind for kind in kinds if kind != (1, "validation")] == [
        (line["iteration"], line["kind"]) for line in expected
    ]
    whole, killed = (
        ClassifierCheckpoint.load(path / "last.pt") for path in (tmp_path / "whole", folder)
    )
    assert all(torch.equal(whole.weights[name], killed.weights[name]) for name in whole.weights)


@pytest.mark.parametrize("facts", [{}, {"from_random": True}])
def test_a_training_that_diverges_says_if_it_began_from_random_weights(
    tmp_path: Path, facts: dict[str, Any]
) -> None:
    run = make_run(tmp_path)

    def initialise() -> dict[str, Any]:
        torch.nn.init.constant_(next(run.model.parameters()), float("nan"))
        return facts

    run.initialise = initialise
    with pytest.raises(FloatingPointError, match="diverged") as error:
        run.run()
    assert ("began from random weights" in str(error.value)) == bool(facts)


def test_a_validation_that_was_logged_and_not_saved_is_logged_once(tmp_path: Path) -> None:
    make_run(tmp_path).run()
    last = ClassifierCheckpoint.load(tmp_path / "last.pt")
    # As a kill behind the line of the log leaves it.
    replace(last, training=last.training | {"measured": False}).save(tmp_path / "last.pt")
    make_run(tmp_path, resume=True).run()
    kinds = [line["kind"] for line in read_log(tmp_path / "log.jsonl")]
    assert kinds == ["train", "train", "validation"] * 2


def test_a_run_killed_before_its_report_reports_when_it_is_resumed(tmp_path: Path) -> None:
    make_run(tmp_path).run()
    (tmp_path / "metrics.json").unlink()
    assert make_run(tmp_path, resume=True).run() == {"error": 1.0}
    assert json.loads((tmp_path / "metrics.json").read_text())["error"] == 1.0


def test_a_run_killed_before_its_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    make_run(tmp_path).run()
    for name in ("last.pt", "best.pt"):
        (tmp_path / name).unlink()
    make_run(tmp_path, resume=True).run()
    assert len(read_log(tmp_path / "log.jsonl")) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_says_how_to_go_on(
    tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path / "whole").run()
    run = make_run(tmp_path / "stopped")
    original = run.batches

    def signalled(start: int) -> Iterator[MiniBatch]:
        for done, batch in enumerate(original(start)):
            if done == 2:  # within the third step
                os.kill(os.getpid(), number)
            yield batch

    run.batches = signalled
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        run.run()
    assert stopped.value.code == 75
    assert signal.getsignal(number) == before
    assert "go on with resume=true" in caplog.text
    assert ClassifierCheckpoint.load(tmp_path / "stopped" / "last.pt").training["iteration"] == 3
    make_run(tmp_path / "stopped", resume=True).run()
    whole, resumed = (
        ClassifierCheckpoint.load(tmp_path / name / "last.pt") for name in ("whole", "stopped")
    )
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("whole", "stopped")]
    assert len(logs[0]) == len(logs[1])


class Measured(Counted):
    """A validation that measures the sum of the weights that it sees; ``errors``: or these."""

    def __init__(self, model: torch.nn.Module, errors: list[float] | None = None) -> None:
        super().__init__()
        self.model, self.errors = model, errors
        self.seen: list[dict[str, torch.Tensor]] = []

    def __call__(self) -> Metrics:
        self.calls += 1
        self.seen.append({name: v.clone() for name, v in self.model.state_dict().items()})
        return {"error": self.errors[self.calls - 1] if self.errors else 1 / self.calls}


def averaged_run(
    folder: Path, *, iterations: int = ITERATIONS, resume: bool = False
) -> TrainingRun:
    run = make_run(folder, iterations=iterations, resume=resume)
    run.rules = replace(run.rules, ema_decay=0.5)
    run.validation = Measured(run.model)
    return run


def test_averaged_weights_are_measured_and_saved_and_resuming_is_bit_equal(tmp_path: Path) -> None:
    run = averaged_run(tmp_path / "whole")
    run.run()
    averaged_run(tmp_path / "halves", iterations=2).run()
    averaged_run(tmp_path / "halves", resume=True).run()
    make_run(tmp_path / "plain").run()
    whole, halves, plain = (
        ClassifierCheckpoint.load(tmp_path / name / "last.pt")
        for name in ("whole", "halves", "plain")
    )
    best = ClassifierCheckpoint.load(tmp_path / "whole" / "best.pt")
    assert isinstance(run.validation, Measured)
    trained = whole.training["trained_weights"]
    for name, weights in whole.weights.items():
        assert torch.equal(weights, halves.weights[name]), name
        assert torch.equal(weights, best.weights[name])  # the last validation was the best
        assert torch.equal(weights, run.validation.seen[-1][name])
        # The average changes nothing of what it follows.
        assert torch.equal(trained.get(name, weights), plain.weights[name])
    assert trained
    assert all(torch.equal(halves.training["trained_weights"][n], v) for n, v in trained.items())
    assert any(not torch.equal(whole.weights[name], value) for name, value in trained.items())
    assert "trained_weights" not in best.training


def patient_run(folder: Path, errors: list[float], patience: int, resume: bool) -> TrainingRun:
    run = make_run(folder, resume=resume)
    run.rules = replace(run.rules, evaluate_every=1, patience=patience)
    run.validation = Measured(run.model, errors)
    return run


def test_a_training_without_a_better_validation_ends_as_a_regular_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = patient_run(tmp_path, [0.5, 0.6, 0.5, 0.1], patience=2, resume=False)
    with caplog.at_level("INFO"):
        assert run.run() == {"error": 0.5}
    assert "no error in the last 2 validations was better than 50.0" in caplog.text
    last = ClassifierCheckpoint.load(tmp_path / "last.pt")
    assert (last.training["iteration"], last.training["waited"]) == (3, 2)
    assert ClassifierCheckpoint.load(tmp_path / "best.pt").training["iteration"] == 1
    assert json.loads((tmp_path / "metrics.json").read_text())["best"] == {"error": 0.5}
    # It has ended, unless more patience is asked for.
    assert patient_run(tmp_path, [0.1], patience=2, resume=True).run() is None
    assert patient_run(tmp_path, [0.1], patience=3, resume=True).run() == {"error": 0.1}


def test_patience_goes_on_where_it_was_when_a_run_is_resumed(tmp_path: Path) -> None:
    first = patient_run(tmp_path, [0.5, 0.6], patience=2, resume=False)
    first.rules = replace(first.rules, iterations=2)
    first.batches = lambda start: batches(start)[: 2 - start]
    first.run()
    patient_run(tmp_path, [0.7, 0.1], patience=2, resume=True).run()
    assert ClassifierCheckpoint.load(tmp_path / "last.pt").training["iteration"] == 3
