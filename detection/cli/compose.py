"""Composes a configuration out of configs/*.yaml and overrides; says clearly what is wrong.

Hydra is asked to compose and for nothing else: it neither changes the working directory nor makes
folders nor configures logging.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

log = logging.getLogger("configuration")


def compose_config(config: str, overrides: list[str]) -> DictConfig:
    """The configuration; ValueError names the nearest key or file if an override fits none."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = compose(config)
        replaced = _replaced_classes(overrides)
        try:
            composed = compose(config, overrides=_without_old_keys(overrides, replaced))
        except HydraException as error:
            known = _with_groups(config, overrides) or plain
            message = str(error)
            if isinstance(error, OverrideParseException):
                message = _cannot_be_parsed(error.override, message)
            raise ValueError(_explain(message, config, overrides, known)) from None
    _check_numbers(composed, plain, overrides)
    for key in replaced:
        _drop_old_settings(composed, key, overrides)
    return composed


def _replaced_classes(overrides: list[str]) -> list[str]:
    """The keys whose class is replaced on the command line: of ``model.backbone._target_=...``."""
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    return [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]


def _without_old_keys(overrides: list[str], replaced: list[str]) -> list[str]:
    """The overrides, where a class that is replaced may get settings that the old one has not."""
    inside = tuple(f"{key}." for key in replaced)
    return [f"++{o}" if o.startswith(inside) else o for o in overrides]


def _drop_old_settings(composed: DictConfig, key: str, overrides: list[str]) -> None:
    """A new class keeps of the old one's settings in the files those alone that it takes."""
    node = OmegaConf.select(composed, key)
    named = [o.lstrip("+").partition("=")[0] for o in overrides]
    given = {name.removeprefix(f"{key}.").partition(".")[0] for name in named}
    in_files = [str(name) for name in node if not str(name).startswith("_") and name not in given]
    taken = _takes(node["_target_"], in_files, f"{key}._target_")
    dropped = [name for name in in_files if name not in taken]
    with open_dict(composed):
        for name in dropped:
            del node[name]
    if in_files:
        log.info(
            "%s: %s takes %s from the files, and not %s",
            key,
            node["_target_"],
            ", ".join(taken) or "nothing",
            ", ".join(dropped) or "anything else",
        )


def _takes(target: str, names: list[str], key: str) -> list[str]:
    """Those of ``names`` that a class on the command line has an argument for."""
    module, _, name = target.rpartition(".")
    try:
        arguments = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{key}={target}: cannot be imported ({error}); install the package, or mend the name"
        ) from None
    takes_all = any(a.kind is inspect.Parameter.VAR_KEYWORD for a in arguments.values())
    return [name for name in names if takes_all or name in arguments]


def _cannot_be_parsed(override: str, message: str) -> str:
    key, _, value = override.partition("=")
    said = f"{override}: cannot be read ({message.splitlines()[0]})"
    if "=" not in value or value.startswith(("[", "{", "'", '"')):
        return said
    return f"{said}; a value with = in it needs quotes within the shell's: '{key}=\"{value}\"'"


def _with_groups(config: str, overrides: list[str]) -> DictConfig | None:
    """The configuration under those overrides alone that choose files, if these are right."""
    groups = [o for o in overrides if (CONFIGS / o.partition("=")[0]).is_dir()]
    try:
        return compose(config, overrides=groups)
    except HydraException:
        return None


def _check_numbers(composed: DictConfig, plain: DictConfig, overrides: list[str]) -> None:
    """What is a number in the files must be one on the command line too."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        default = OmegaConf.select(plain, key, throw_on_missing=False)
        given = OmegaConf.select(composed, key, throw_on_missing=False)
        if isinstance(default, (int, float)) and not isinstance(given, (int, float, type(None))):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise ValueError(f"{override}: {key} must be {kind}, as {default} is")


def groups_of(config: str) -> dict[str, list[str]]:
    """The groups that configs/<config>.yaml chooses a file of, those within them, and the files."""
    names: list[str] = []
    found: dict[str, list[str]] = {}
    content = OmegaConf.load(CONFIGS / f"{config}.yaml")
    assert isinstance(content, DictConfig)
    for entry in content.get("defaults", []):
        if isinstance(entry, DictConfig):
            names += [str(key).split()[-1] for key in entry]
        elif entry != "_self_":
            found |= groups_of(entry)
    for name in names:
        folder = CONFIGS / name
        files = folder.rglob("*.yaml") if name == "experiment" else folder.glob("*.yaml")
        found[name] = sorted(str(file.relative_to(folder).with_suffix("")) for file in files)
        if name != "experiment":
            within = (f"{name}/{inner.name}" for inner in folder.iterdir() if inner.is_dir())
            found |= {group: sorted(f.stem for f in (CONFIGS / group).glob("*.yaml"))
                      for group in within}  # fmt: skip
    return dict(sorted(found.items()))


def _explain(message: str, config: str, overrides: list[str], plain: DictConfig) -> str:
    groups = groups_of(config)
    known = [*_keys(plain), *groups]
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        deletes = override.startswith("~")
        if not re.fullmatch(r"[\w.@/-]+", key) or not (deletes or "=" in override):
            return f"{override!r} is no override: write key=value, for example data.root=/path"
        if key in groups and value not in (*groups[key], "null"):
            return f"{override}: there is no such {key}; {_nearest(value, groups[key])}"
        group = key.partition(".")[0]
        if group not in groups and group not in plain and (CONFIGS / group).is_dir():
            return f"{override}: this tool takes no {group}; --help lists what it takes"
        if "." in key and group in groups and group not in plain:
            return f"{override}: choose {group}= first, one of {', '.join(groups[group])}"
        if key not in known and key.split(".")[-1] in message:
            return f"{override}: there is no key {key!r}; {_nearest(key, known)}"
    return message


def _nearest(wrong: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(wrong, choices, n=1, cutoff=0.5)
    if not near:
        # The last part may be right and its place wrong: learning_rate for schedule.learning_rate.
        near = [choice for choice in choices if choice.split(".")[-1] == wrong.split(".")[-1]]
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")
