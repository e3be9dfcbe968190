"""What people see of a training, in a terminal and in a file."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass

import pytest

from detection.engine.progress import TrainingProgress, duration
from detection.engine.validation import Goal


@dataclass
class Length:
    iterations: int
    evaluate_every: int


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def train(clock: Clock, *, iterations: int, seconds: float) -> TrainingProgress:
    """Steps of so many seconds, a validation of 30 s after every 10; lines after every 2."""
    progress = TrainingProgress(
        start=0,
        rules=Length(100, 10),
        is_shown=True,
        goal=Goal("AP", higher_is_better=True),
        clock=clock,
    )
    for done in range(1, iterations + 1):
        clock.now += seconds
        progress.step_is_done(done)
        if done % 2 == 0:
            progress.losses(done, {"total": 1 / done, "learning_rate": 0.01})
        if done % 10 == 0:
            progress.validation_begins()
            clock.now += 30
            progress.validation_ends(done, {"AP": 0.3 if done == 10 else 0.2})
    return progress


def test_the_time_left_counts_steps_and_validations() -> None:
    progress = train(Clock(), iterations=20, seconds=2.0)
    # 80 steps of 2 s, and 8 validations of 30 s.
    assert progress.seconds_left(20) == pytest.approx(80 * 2 + 8 * 30)
    assert progress.seconds_left(95) == pytest.approx(5 * 2 + 30)


def test_a_last_validation_is_made_between_two_that_are_due() -> None:
    progress = train(Clock(), iterations=20, seconds=2.0)
    progress.rules = Length(25, 10)
    assert progress.seconds_left(21) == pytest.approx(4 * 2 + 30)
    progress.rules = Length(25, 0)
    assert progress.seconds_left(21) == pytest.approx(4 * 2 + 30)


def test_without_a_terminal_lines_say_what_the_bar_does(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train(Clock(), iterations=20, seconds=10.0).close()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "iteration 2 of 100: loss 0.500, rate 0.01, 16:20 min left"
    assert lines[1].startswith("iteration 8 of 100: loss 0.125")  # a minute later
    assert lines[2] == "iteration 10 of 100: AP 30.0, the best so far (measured in 30 s)"
    assert "AP 30.0 (best 30.0)" in lines[3]
    assert lines[-1] == "iteration 20 of 100: AP 20.0, the best so far is 30.0 (measured in 30 s)"


def test_a_terminal_has_a_bar_in_place_of_the_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", terminal)
    with caplog.at_level(logging.INFO):
        progress = train(Clock(), iterations=20, seconds=10.0)
        progress._bar.refresh()
        progress.close()
    last = terminal.getvalue().split("\r")[-2]
    assert "20/100" in last
    assert "loss 0.050, rate 0.01, AP 20.0 (best 30.0), 17:20 min left" in last
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "iteration 10 of 100",
        "iteration 20 of 100",
    ]


def test_other_processes_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        progress = TrainingProgress(
            start=0, rules=Length(2, 1), is_shown=False, goal=Goal("AP", higher_is_better=True)
        )
        progress.step_is_done(1)
        progress.losses(1, {"total": 1.0, "learning_rate": 0.01})
        progress.validation_ends(1, {"AP": 0.1})
    assert not caplog.records


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1:01 min"), (7384, "2:03 h"), (5e5, "5.8 days")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
