"""--help: the keys that matter with what YAML says of them, and choices that the command takes."""

from __future__ import annotations

import shlex

import pytest

from detection.cli.arguments import parse
from detection.cli.choices import groups_of, shown_groups_of
from detection.cli.command import Command
from detection.cli.commands import COMMANDS
from detection.cli.compose import CONFIGS, compose_config
from detection.cli.config_comments import chosen_files, comments, read
from detection.cli.launch import launch

DETECTORS, CLASSIFIERS = COMMANDS["train"], COMMANDS["train-classifier"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def shown(capsys: pytest.CaptureFixture[str], command: Command, *words: str) -> str:
    launch(command, [f"detection {command.name}", "--help", *words])
    return capsys.readouterr().out


def header(command: Command, name: str) -> list[str]:
    lines = read(CONFIGS / f"{command.config}.yaml").header
    return [line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")]


def test_it_shows_arguments_examples_and_keys_with_their_comments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown(capsys, DETECTORS)
    assert text.startswith("usage: detection train DATA [-o OUTPUT]")
    assert "Trains a detector" in text
    assert (
        "  DATA                    data.root: a folder, or the file that describes the data set"
        in text
    )
    assert "  detection train photos/ resume=true -o outputs/mine\n" in text
    assert "  schedule.batch_size=2   images per iteration, over all processes\n" in text
    assert "  model.backbone.depth=101\n                          50, 101 or 152\n" in text
    assert "weight_decay" not in text
    # What stands on the command line is what is shown.
    assert "depth=50\n" in shown(capsys, DETECTORS, "model.backbone.depth=50")


def test_all_shows_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, DETECTORS, "all", "schedule=modern_c4")
    text = " ".join(text.split())
    assert " schedule.optimizer.weight_decay=0.0001 a number of 0 or more " in text
    assert " schedule.rules.clip_norm=null a number above 0, or null " in text
    assert " schedule.learning_rate.milestones=[60000,80000] a list" in text
    # The comment is that of the file that modern_c4 starts from.
    assert (
        " schedule.batch_size=16 images per iteration, over all processes; a whole number from 1 "
    ) in text
    assert " data.root= a folder, or the file that describes" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_at_most_ten_keys_come_first_and_all_of_them_exist(name: str) -> None:
    command = COMMANDS[name]
    named = " ".join(header(command, "keys")).split()
    config = compose_config(command.config, [])
    assert len(named) <= 10
    for key in named:
        parent, _, last = f".{key}".rpartition(".")
        node = config
        for part in parent.split(".")[1:]:
            node = node[part]
        assert last in node, key


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_understood(name: str) -> None:
    command = COMMANDS[name]
    examples = command.examples or header(command, "example")
    assert examples
    for example in examples:
        given = parse(command, shlex.split(example))
        given.fill(config := compose_config(command.config, given.overrides))
        for positional in command.positionals:
            assert positional.key in given.paths or positional.unless in config


@pytest.mark.parametrize("command", [DETECTORS, CLASSIFIERS], ids=lambda command: command.name)
def test_every_choice_that_it_shows_is_taken(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(shown(capsys, command).split())
    for group, files in shown_groups_of(command.config).items():
        assert f"{group}= {' | '.join(files)}" in text


def test_a_file_that_needs_more_is_shown_where_another_brings_it() -> None:
    shown, taken = shown_groups_of("train"), groups_of("train")
    assert "vgg16" in shown["model"]
    assert "vgg16" not in shown["model/backbone"]
    assert "vgg16" in taken["model/backbone"]  # with the bins beside it


def test_a_file_of_another_command_is_no_choice() -> None:
    ours, theirs = groups_of("train"), groups_of("classifier")
    assert {"cifar", "imagenet"} & {*ours["schedule"], *ours["data"]} == set()
    assert not [name for name in ours["experiment"] if name.startswith("classification/")]
    assert theirs["data"] == ["cifar10", "imagenet"]
    assert all(name.startswith("classification/") for name in theirs["experiment"])
    of_localizers = groups_of("localizer")["experiment"]
    assert of_localizers
    assert all(name.startswith("localization/") for name in of_localizers)
    assert not {*of_localizers} & {*ours["experiment"], *theirs["experiment"]}
    assert "short" in ours["schedule"]
    assert "short" in theirs["schedule"]


def test_the_comment_is_that_of_the_file_that_was_chosen() -> None:
    assert chosen_files(["experiment=moco_voc", "runtime=exact", "seed=2"]) == {
        "experiment": "moco_voc",
        "model": "modern_c4",
        "schedule": "modern_c4",
        "inference": "modern_c4",
        "model/pixels": "torchvision",
        "runtime": "exact",
        "seed": "2",  # no group, and no file is asked for
    }
    assert "runtime.winograd" in comments("train", {})
    assert "runtime.winograd" not in comments("train", {"runtime": "exact"})
    assert comments("alternating", {})["weights"] == comments("train", {})["weights"]
