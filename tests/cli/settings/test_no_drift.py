"""The settings have the keys of configs/, each, and no others; and those of the constructors."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from omegaconf import DictConfig

from detection.cli.choices import groups_of
from detection.cli.compose import CONFIGS, compose_config, compose_unchecked
from detection.cli.settings.describe import describe
from detection.cli.settings.fields import Kind, kinds_of
from detection.cli.settings.node import Built, Node
from detection.cli.settings.table import SETTINGS, settings_of

CONFIG_FILES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def test_every_file_of_configs_has_settings() -> None:
    missing = set(CONFIG_FILES) - set(SETTINGS)
    assert not missing, (
        f"configs/{missing} is not in detection/cli/settings/table.py: write a class of its keys, "
        "as those of files.py, and add it there"
    )
    assert set(SETTINGS) <= set(CONFIG_FILES)


def overrides(config: str) -> Iterator[list[str]]:
    """Each file of each group, many in one composition; the experiments have tests of their own."""
    yield []
    groups = groups_of(config)
    groups.pop("experiment", None)
    most = max(map(len, groups.values()), default=0)
    # The others have the same groups.
    all_files = config in ("train", "classifier", "test_classifier", "localizer")
    for number in range(most if all_files else 1):
        yield [f"{g}={names[number]}" for g, names in groups.items() if number < len(names)]
    if config == "classifier":
        yield ["experiment=classification/cifar_110"]  # its schedule is in no group


@functools.cache
def keys_in_use() -> dict[type[Node], set[str]]:
    """Class -> its keys that some composition has; fails for a key that no class has."""
    found: dict[type[Node], set[str]] = {}
    for config in CONFIG_FILES:
        node = settings_of(config)
        assert node is not None
        for given in overrides(config):
            _visit(node, compose_unchecked(config, given), found, f"{config}.yaml {given}")
    return found


def _visit(
    node: type[Node], config: DictConfig, found: dict[type[Node], set[str]], where: str
) -> None:
    kinds = kinds_of(node)
    for key in map(str, config):
        if key in ("_target_", "_partial_") and key not in kinds:
            continue
        assert key in kinds, (
            f"configs/{where}: {node.__name__} of {node.__module__} lacks the key {key!r}: add it, "
            "with a kind of detection/cli/settings/kinds.py (`workers: Workers`), then run "
            "python docs/generate_configuration.py"
        )
        found.setdefault(node, set()).add(key)
        part = config._get_node(key)
        if isinstance(part, DictConfig) and not part._is_none():
            target = part.get("_target_")
            chosen = [n for n in kinds[key].nodes if getattr(n, "target", None) in (None, target)]
            assert chosen or kinds[key].nodes == (), (
                f"configs/{where}: {key} is a {target}, which has no settings: write a class as "
                "those of detection/cli/settings/backbone.py, with the target and the arguments of "
                f"its constructor, and add it to OneOf(...) in {node.__module__}"
            )
            for choice in chosen:
                _visit(choice, part, found, where)


@pytest.mark.slow
def test_every_key_has_a_field_and_every_field_is_a_key() -> None:
    for node, keys in keys_in_use().items():
        unused = set(kinds_of(node)) - keys
        assert not unused, f"{node.__name__} of {node.__module__}: no file has {sorted(unused)}"
    assert all_built() <= keys_in_use().keys()


def all_built() -> set[type[Built]]:
    for module, _ in SETTINGS.values():
        importlib.import_module(f"detection.cli.settings.{module}")

    def below(node: type[Any]) -> set[type[Built]]:
        nearer = set(node.__subclasses__())
        return nearer.union(*map(below, nearer))

    return {node for node in below(Built) if hasattr(node, "target")}


@pytest.mark.slow
@pytest.mark.parametrize("node", sorted(all_built(), key=lambda node: node.target))
def test_the_settings_of_a_class_are_its_arguments(node: type[Built]) -> None:
    module, _, name = node.target.rpartition(".")
    built = getattr(importlib.import_module(module), name)
    arguments = set(inspect.signature(built).parameters) - set(node.by_code)
    assert set(kinds_of(node)) == arguments
    hints = get_type_hints(built.__init__ if inspect.isclass(built) else built)
    for key, kind in kinds_of(node).items():
        choices = _choices(Kind.of(hints.get(key)))
        assert choices is None or choices == _choices(kind), f"{node.target}: {key}"


def _choices(kind: Kind) -> tuple[Any, ...] | None:
    return get_args(kind.type) if get_origin(kind.type) is Literal else None


def test_the_choices_of_a_backbone_are_those_of_its_file() -> None:
    from detection.cli.settings.backbone import ResNet
    from detection.cli.settings.kinds import Stage
    from detection.model.resnet import BLOCKS, STAGES

    assert _choices(kinds_of(ResNet)["depth"]) == tuple(BLOCKS)
    assert get_args(Stage) == STAGES


@pytest.mark.parametrize("config", CONFIG_FILES)
def test_every_file_is_right_as_it_is(config: str) -> None:
    assert compose_config(config, [])


def test_a_key_is_described_by_its_class() -> None:
    several = describe("classifier")["model.backbone.depth"]
    assert several == "18, 34, 50, 101 or 152; or 6n + 2: 20, 32, 44, 56, 110 or 1202"
    cifar = {"model.backbone": "detection.classification.cifar.CifarResNet"}
    assert describe("classifier", cifar)["model.backbone.depth"].startswith("6n + 2")
    assert describe("train")["runtime.precision"] == "auto, fp32 or bf16"
    assert describe("nobodys") == {}
