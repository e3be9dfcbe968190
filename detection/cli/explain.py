"""What is wrong with an override, in words of this project: Hydra's advice is for its own users."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from detection.cli.choices import groups_of, is_group
from detection.cli.config_folders import find_file
from detection.cli.other_names import OTHER_NAMES
from detection.cli.overrides import SHAPE, key_of
from detection.cli.wrong_configuration import WrongConfiguration


def check_choices(config: str, overrides: list[str]) -> None:
    """Raises WrongConfiguration for files of groups that do not exist, before anything is composed.

    And for settings of Hydra's own: it composes, and nothing else is asked of it.
    """
    if not overrides:
        return
    groups = groups_of(config)
    problems = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if re.match(r"[+~]*hydra([./@]|$)", key):
            raise ValueError(
                f"{override}: settings of Hydra's own would change nothing here: leave it out"
            )
        known = (*groups.get(key, []), "null")
        name = value.strip("'\"")
        if key in groups and name not in known and not name.startswith(("{", "$")):
            problems[override] = f"{override}: {_no_such(key, value, groups)}"
    if problems:
        raise WrongConfiguration(problems.values(), overrides=problems)


def check_keys(config: str, overrides: list[str], known: DictConfig) -> None:
    """Raises WrongConfiguration for keys that do not exist, before the configuration is composed.

    That takes half of the time until an answer.  Where an override adds or deletes, or a value
    brings keys of its own, Hydra is left to find out.  ``known``: as in ``explain``.
    """
    groups = groups_of(config)
    if not all(re.match(r"[\w.-]+=(?!\s*\{)|[\w/]+=", override) for override in overrides):
        return
    problems = {}
    for override in overrides:
        key, _, _ = override.partition("=")
        parent, _, last = key.rpartition(".")
        node = OmegaConf.select(known, parent, throw_on_missing=False) if parent else known
        if isinstance(node, DictConfig) and last not in node.keys() | groups.keys():
            problem = _problem(override, key, groups, known)
            if problem is not None:
                problems[override] = f"{override}: {problem}"
    if problems:
        raise WrongConfiguration(problems.values(), overrides=problems)


def explain(error: Exception, config: str, overrides: list[str], known: DictConfig) -> str:
    """One line.  ``known``: the configuration without what is wrong."""
    for override in overrides:
        if not SHAPE.fullmatch(override):
            return f"{override!r} is no override: write key=value, for example data.root=/path"
    if isinstance(error, OverrideParseException):
        return _cannot_be_read(error.override)
    groups = groups_of(config)
    message = str(error)
    for override in overrides:
        problem = _problem(override, message, groups, known)
        if problem is not None:
            return f"{override}: {problem}"
    for override in overrides:
        key = key_of(override)
        if not is_group(key) and isinstance(_node(known, key), DictConfig) and "=" in override:
            return (
                f"{override}: {key} has settings of its own; set those, as in {_first(known, key)}="
            )
        if isinstance(error, ValueError) and not _is_parsed(override):
            return _cannot_be_read(override)
    # The lines after the first one are advice.
    return f"{' '.join(overrides)}: does not fit {config}.yaml: {message.splitlines()[0]}"


def _no_such(group: str, wrong: str, groups: dict[str, list[str]]) -> str:
    if find_file(f"{group}/{wrong}"):
        return f"this {group} is another command's; choose from {', '.join(groups[group])}"
    return f"there is no such {group}; {_nearest(wrong, groups[group])}"


def _nearest(wrong: str, choices: list[str]) -> str:
    """The nearest of a few names, or all of them."""
    near = difflib.get_close_matches(wrong, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"


def _problem(
    override: str, message: str, groups: dict[str, list[str]], known: DictConfig
) -> str | None:
    keys = [*_keys(known), *groups]
    key, _, value = override.lstrip("+~").partition("=")
    deletes = override.startswith("~")
    if key in groups and value not in (*groups[key], "null") and not deletes:
        return _no_such(key, value, groups)
    group = key.partition(".")[0]
    if group not in groups and group not in known and is_group(group):
        return f"this tool takes no {group}; --help lists what it takes"
    if "." in key and group in groups and group not in known:
        return f"choose {group}= first, one of {', '.join(groups[group])}"
    if key not in keys and key.split(".")[-1] in message:
        return f"there is no key {key!r}; {_right_key(key, keys, known)}"
    if override not in message and f"'{key}'" not in message and f" {key}." not in message:
        # Hydra does not name the key of a group that is set to null.
        empties = value == "null" and key in groups and "Config group override" in message
        return f"a file is needed: choose from {', '.join(groups[key])}" if empties else None
    if override.startswith("+"):
        return f"{key} is there already: leave out the +"
    if deletes:
        return f"{key} has another value: write ~{key}"
    if "multirun" in message:
        example = shlex.quote(f'{key}="{value}"')
        return f"one value is needed; a list is written {key}=[...], a text with a comma {example}"
    return None


def _cannot_be_read(override: str) -> str:
    key, _, value = override.partition("=")
    inside = re.fullmatch(r"\[([^\[\]{}'\"\\]+)\]", value)
    items = [item.strip() for item in inside[1].split(",")] if inside else []
    if items and all(items):
        quoted = ",".join(f'"{item}"' for item in items)
        return f"{override}: such texts need quotes within the shell's: " + shlex.quote(
            f"{key}=[{quoted}]"
        )
    if value.startswith(("[", "{", "'", '"')):
        return f"{override}: a bracket, a quote or a comma of its value is amiss"
    quoted = value.replace('"', '\\"')
    return (
        f"{override}: cannot be read; such a value needs quotes within the shell's: "
        + shlex.quote(f'{key}="{quoted}"')
    )


def _is_parsed(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except (HydraException, ValueError):
        return False
    return True


def _node(known: DictConfig, key: str) -> object:
    return OmegaConf.select(known, key, throw_on_missing=False)


def _first(known: DictConfig, group: str) -> str:
    """The first setting of a part of the configuration."""
    node = _node(known, group)
    keys = _keys(node, f"{group}.") if isinstance(node, DictConfig) else iter(())
    return next((key for key in keys if not key.endswith("_")), group)


def _right_key(wrong: str, keys: list[str], known: DictConfig) -> str:
    other = OTHER_NAMES.get(wrong)
    if other is not None:
        for key in other.keys:
            if key in keys:
                value = _value(known, key)
                return f"did you mean {key!r}, now {value}?" + f" ({other.note})" * bool(other.note)
    first, *others = near = nearest_keys(wrong, keys)
    if _likeness(wrong, first) < 0.5:
        return f"the nearest are {', '.join(near)}"
    return f"did you mean {first!r}? Near it are {', '.join(others)}"


def nearest_keys(wrong: str, keys: list[str]) -> list[str]:
    """Five, the nearest first."""
    return sorted(set(keys), key=lambda key: (-_likeness(wrong, key), key))[:5]


def nearest_key(wrong: str, keys: list[str]) -> str | None:
    """The one that was meant, as far as one can tell."""
    first = nearest_keys(wrong, keys)[0]
    return first if _likeness(wrong, first) >= 0.7 else None


def _likeness(wrong: str, key: str) -> float:
    """From 0 to 1."""
    whole = difflib.SequenceMatcher(None, wrong, key).ratio()
    # The last part may be right and its place wrong: learning_rate, schedule.learning_rate.
    last = difflib.SequenceMatcher(None, wrong.split(".")[-1], key.split(".")[-1]).ratio()
    return max(whole, 0.95 * last)


def _value(known: DictConfig, key: str) -> str:
    value = OmegaConf.select(known, key, throw_on_missing=False)
    return "null" if value is None else str(value)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")
