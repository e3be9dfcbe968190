"""The checkpoints of a training: which one is the best, and what a resumed run needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from detection.checkpoint import ClassifierCheckpoint
from detection.engine.checkpoints import Checkpoints, Progress, find_previous, restore
from detection.engine.schedules import DivideOnPlateau
from detection.engine.validation import Goal

ERROR = Goal("error", higher_is_better=False)
AP = Goal("AP", higher_is_better=True)


def blank(**training: object) -> ClassifierCheckpoint:
    return ClassifierCheckpoint(
        weights={}, model_config={}, class_names=["cat"], views={}, training=training
    )


def schedule() -> DivideOnPlateau:
    return DivideOnPlateau(
        reference=0.1,
        reference_batch=1,
        batch_size=1,
        warmup_iterations=0,
        warmup_factor=1.0,
        decay=0.1,
        patience=1,
        improvement=0.0,
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    model = nn.Linear(2, 2)
    return Checkpoints(
        folder=tmp_path,
        template=blank(trained=["rpn"]),
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        learning_rate=schedule(),
        goal=ERROR,
    )


@pytest.mark.parametrize(
    ("goal", "value", "best", "better"),
    [
        (AP, 0.3, 0.2, True),
        (AP, 0.2, 0.2, False),  # the earlier of two equals stays
        (ERROR, 0.2, 0.3, True),
        (ERROR, 0.3, 0.2, False),
        (AP, 0.0, None, True),
        (AP, None, None, True),  # the first checkpoint is the best so far, whatever it is
        (AP, None, 0.0, False),
    ],
)
def test_what_is_better(goal: Goal, value: float | None, best: float | None, better: bool) -> None:
    assert goal.is_better(value, best) is better


def test_best_is_kept_and_last_is_replaced(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for iteration, error in ((1, 0.5), (2, 0.2), (3, 0.4)):
        checkpoints.save(iteration, None)
        checkpoints.save(iteration, {"error": error})
    best, last = (ClassifierCheckpoint.load(tmp_path / name) for name in ("best.pt", "last.pt"))
    assert best.training == {"iteration": 2, "best": 0.2, "trained": ["rpn"]}
    assert (last.training["iteration"], last.training["best"]) == (3, 0.2)
    assert last.training["measured"]
    assert "optimizer" in last.training
    assert last.training["trained"] == ["rpn"]


def test_a_resumed_run_stands_where_the_saved_one_stood(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.learning_rate.observe({"error": 0.5})
    checkpoints.save(7, {"error": 0.5})
    checkpoints.save(9, None)
    previous = find_previous(tmp_path, blank(), resume=True)
    assert previous is not None
    fresh = schedule()
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.5)
    progress = restore(previous, optimizer=optimizer, learning_rate=fresh)
    assert progress == Progress(iteration=9, best=0.5, is_validated=False)
    assert fresh.errors == [0.5]


def stepped(optimizer: torch.optim.Optimizer) -> None:
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def resumed(checkpoints: Checkpoints, optimizer: torch.optim.Optimizer) -> None:
    stepped(checkpoints.optimizer)
    checkpoints.save(1, None)
    previous = find_previous(checkpoints.folder, blank(), resume=True)
    assert previous is not None
    restore(previous, optimizer=optimizer, learning_rate=schedule())


def test_the_moments_are_the_saved_ones_and_the_settings_the_new(checkpoints: Checkpoints) -> None:
    parameters = [*nn.Linear(2, 2).parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.5, momentum=0.5, weight_decay=0.01)
    resumed(checkpoints, optimizer)
    group = optimizer.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.01)
    # SGD's first momentum is the gradient: one everywhere.
    moments = [optimizer.state[parameter]["momentum_buffer"] for parameter in parameters]
    assert all(torch.equal(moment, torch.ones_like(moment)) for moment in moments)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: torch.optim.AdamW(nn.Linear(2, 2).parameters(), lr=0.1),
        lambda: torch.optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1, momentum=0.9),
        lambda: torch.optim.SGD(nn.Linear(2, 2, bias=False).parameters(), lr=0.1, momentum=0.9),
    ],
    ids=["another class", "other shapes", "other parameters"],
)
def test_moments_that_do_not_fit_are_left_out(
    checkpoints: Checkpoints,
    optimizer: Callable[[], torch.optim.Optimizer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fresh = optimizer()
    resumed(checkpoints, fresh)
    assert not fresh.state
    stepped(fresh)
    assert "starts anew" in caplog.text


def test_a_folder_that_holds_a_run_is_neither_overwritten_nor_invented(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    assert find_previous(tmp_path, blank(), resume=False) is None
    with pytest.raises(FileNotFoundError, match=r"last\.pt"):
        find_previous(tmp_path, blank(), resume=True)
    checkpoints.save(1, None)
    with pytest.raises(ValueError, match="go on from it with resume=true"):
        find_previous(tmp_path, blank(), resume=False)
