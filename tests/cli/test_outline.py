"""What the files say without being composed is what they say composed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from detection.cli import compose as compose_module
from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_unchecked
from detection.cli.config_folders import searched_first
from detection.cli.launch import launch
from detection.cli.main import main
from detection.cli.outline import outline
from detection.cli.shown_values import shown_values


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_values_and_their_order_are_those_that_hydra_composes(name: str) -> None:
    config = COMMANDS[name].config
    found = outline(config)
    assert found is not None  # its files are in the style that is read
    assert list(found.items()) == list(shown_values(compose_unchecked(config, [])).items())


@pytest.mark.parametrize("words", [["--help"], ["--help", "all"]], ids=" ".join)
def test_the_console_command_answers_as_the_script_does(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["detection", "test", *words])
    main()
    quick = capsys.readouterr().out
    launch(COMMANDS["test"], ["detection test", *words])
    assert quick == capsys.readouterr().out
    assert "split=val" in quick


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: ???\nb: [1, 2]\nc: ${b[1]}", {"a": "", "b": "[1,2]", "c": "2"}),
        ("a:\n  b: 1\n  c: ${.b}\n  d:\n    e: ${..c}\n", {"a.b": "1", "a.c": "1", "a.d.e": "1"}),
        ("a:\n  b: 1\nc: 2\na:\n  d: 3\n", {"a.b": "1", "a.d": "3", "c": "2"}),
        ("a: {b: 1}", None),
        ("a: 'quoted'", None),
        ("a: ${b}", None),
        ("a: ${b}\nb: ${a}", None),
        ("a: x${b}\nb: 1", None),
        ("a: [1]\nb: ${a[1]}", None),
    ],
)
def test_what_is_not_read_for_certain_is_left_to_hydra(
    text: str, values: dict[str, str] | None, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with searched_first(tmp_path):
        found = outline("mine")
    assert found == values
    assert list(found or ()) == list(values or ())


@pytest.mark.parametrize("words", ["train --help", "detect --help all"])
def test_a_question_is_answered_without_hydra(
    words: str, imported_by: Callable[[str, Sequence[str]], list[str]]
) -> None:
    program = (
        "import sys\nfrom detection.cli.main import main\n"
        f"sys.argv = ['detection', *{words.split()!r}]\nmain()"
    )
    names = ("hydra", "omegaconf", "yaml", "torch", "numpy", "pydantic")
    # The types and ranges are those of the settings.
    assert imported_by(program, names) == (["pydantic"] if "all" in words else [])


def test_a_key_that_does_not_exist_is_refused_before_anything_is_composed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compose_module, "compose", None)
    with pytest.raises(ValueError, match=r"did you mean 'schedule\.batch_size'"):
        compose_unchecked("train", ["schedule.batch_sise=8"])


def test_a_key_that_the_outline_leaves_out_is_no_unknown_one() -> None:
    composed = compose_unchecked("train", ["model.rpn._partial_=true"])
    assert composed.model.rpn._partial_
