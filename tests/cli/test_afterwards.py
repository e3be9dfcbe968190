"""What is said at the end of a test can be done."""

from __future__ import annotations

import logging
import shlex
from typing import Any

import pytest

from detection.cli.afterwards import report_of_test
from detection.cli.arguments import parse
from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.engine.look_back import LookBack
from detection.evaluation.bootstrap import Estimate, Estimates
from detection.evaluation.mistakes import find_mistakes


def look_back_at(names: tuple[str, ...], score: float = 0.6999) -> LookBack:
    """One object of each class, found; the first with ``score``, the others with 0.25."""
    box = [0.0, 0.0, 10.0, 10.0]
    objects = [{"id": n, "image_id": n, "category_id": n, "bbox": box} for n, _ in enumerate(names)]
    truth: dict[str, Any] = {
        "images": [{"id": n} for n, _ in enumerate(names)],
        "annotations": objects,
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
    }
    found = [{**one, "score": score if one["id"] == 0 else 0.25} for one in objects]
    one = Estimate(1.0, 1.0, 1.0)
    mistakes = find_mistakes(truth, found)
    return LookBack(Estimates(one, one, one), mistakes, weak=[], pictures=[], sheet=None)


@pytest.fixture(autouse=True)
def _called_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/detection"])
    monkeypatch.setattr("detection.cli.afterwards.weak_class_table", lambda weak: "")


def test_the_commands_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = report_of_test("my runs/best.pt", look_back_at(("traffic light", "cat")))
    wanted: list[dict[str, Any]] = [
        {"draw_score": 0.25}, {"score_threshold": {"traffic light": 0.699, "cat": 0.25}},
    ]  # fmt: skip
    for step, values in zip((first, second), wanted, strict=True):
        _, command, _ = step.split("`")
        assert shlex.split(command)[:2] == ["detection", "detect"]
        arguments = parse(COMMANDS["detect"], shlex.split(command)[2:])
        assert arguments.paths == {"checkpoint": "my runs/best.pt", "images": ["my_pictures/"]}
        composed = compose_config("detect", [*arguments.overrides, "checkpoint=a.pt", "images=a"])
        for key, value in values.items():
            assert composed[key] == value
    assert "`" not in caplog.text


@pytest.mark.parametrize("names", [("cat",), ("cat", "a,b"), ("cat", "null"), ("1", "2"),
                                   tuple(f"c{n}" for n in range(13))])  # fmt: skip
def test_thresholds_that_no_command_can_have_are_not_said(names: tuple[str, ...]) -> None:
    assert len(report_of_test("best.pt", look_back_at(names))) == 1


def test_an_ensemble_or_a_file_of_detections_has_no_command() -> None:
    assert report_of_test(["a.pt", "b.pt"], look_back_at(("cat", "dog"))) == []
    assert report_of_test(None, look_back_at(("cat", "dog"))) == []
