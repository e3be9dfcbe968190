"""The command line: plain paths, -o, --config-dir and key=value.

A plain path never meets Hydra's grammar, so that a file may have any name.  What looks like
key=value is one, unless a file of that name exists and the command has no such key.  After ``--``
all words are paths.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from omegaconf import DictConfig, OmegaConf

from detection.cli.choices import top_level_keys
from detection.cli.command import Command, Positional
from detection.cli.config_folders import searched_first
from detection.cli.overrides import SHAPE
from detection.cli.unknown_option import instead_of
from detection.user_path import user_path

log = logging.getLogger("configuration")


@dataclass(frozen=True)
class Arguments:
    """``overrides``: for Hydra.  ``paths``: key -> path, or paths, as they stand.

    ``config``: a file of values in place of the defaults.  ``wants_help``: the first keys, or all.
    """

    overrides: list[str] = field(default_factory=list)
    paths: dict[str, str | list[str]] = field(default_factory=dict)
    config: Path | None = None
    config_dir: Path | None = None
    wants_help: Literal["", "first", "all"] = ""

    def fill(self, composed: DictConfig) -> None:
        """Writes the plain paths into the configuration."""
        for key, path in self.paths.items():
            value = _literal(path) if isinstance(path, str) else [_literal(p) for p in path]
            OmegaConf.update(composed, key, value, merge=False)


_WEIGHTS = (".pt", ".pth", ".safetensors", ".pkl")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse(command: Command, words: list[str]) -> Arguments:
    """Raises ValueError for a word that nothing takes."""
    split = words.index("--") if "--" in words else len(words)
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    for names in (("-o", "--output"), ("--config",), ("--config-dir",)):
        parser.add_argument(*names, action="append", default=[])
    parser.add_argument("words", nargs="*")
    given, unknown = parser.parse_known_intermixed_args(words[:split])
    # What follows an option that is not the parser's.
    given.words += [word for word in unknown if not word.startswith("-")]
    flags, unknown = _flags([word for word in unknown if word.startswith("-")], command)
    if unknown:
        option = unknown[0].partition("=")[0]
        instead = instead_of(unknown[0], command.config, words)
        raise ValueError(f"there is no option {option}: {instead}")
    output = _once("-o", given.output)
    config, config_dir = (
        user_path(path) if (path := _once(flag, paths)) is not None else None
        for flag, paths in (("--config", given.config), ("--config-dir", given.config_dir))
    )
    wants_help: Literal["", "first", "all"] = "first" if given.help else ""
    if given.help and "all" in given.words:
        given.words.remove("all")
        wants_help = "all"

    overrides = flags
    plain: list[str] = []
    with searched_first(config_dir):
        for word in given.words:
            (overrides if _is_override(word, command) else plain).append(word)
    plain += words[split + 1 :]
    _say_replaced(overrides)
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    paths: dict[str, str | list[str]] = {}
    if output is not None:
        if command.output is None:
            raise ValueError(f"{command.name} writes no files: leave out -o")
        if command.output in keys:
            raise ValueError(f"-o and {command.output}= are the same: leave one of them out")
        paths[command.output] = os.path.expanduser(output)
    positionals = [p for p in command.positionals if not {p.key, p.unless} & {*keys, *paths}]
    _check_given_once(command, plain, overrides)
    paths |= _assigned(command, positionals, [os.path.expanduser(word) for word in plain])
    _check_output_is_meant(command, paths, overrides, by_option=output is not None)
    return Arguments([_whole(o) for o in overrides], paths, config, config_dir, wants_help)


def _once(option: str, given: list[str]) -> str | None:
    """The value of an option, if it is there."""
    if len(given) > 1:
        raise ValueError(f"{option} is given {len(given)} times ({', '.join(given)}): leave one")
    if option != "-o" and "" in given:  # an empty output is said with its key
        raise ValueError(f"{option} '': a path is needed behind it")
    return given[0] if given else None


def _say_replaced(overrides: list[str]) -> None:
    """Of a key that is given twice the last value counts."""
    last: dict[str, str] = {}
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if last.get(key, override) != override:
            log.warning("%s: replaced by %s, which follows", last[key], override)
        last[key] = override


def _check_given_once(command: Command, plain: list[str], overrides: list[str]) -> None:
    """Raises ValueError where a plain argument and key=value both stand for one thing."""
    by_key = {override.lstrip("+").partition("=")[0]: override for override in overrides}
    taken = [p for p in command.positionals if {p.key, p.unless} & by_key.keys()]
    free = [p for p in command.positionals if p not in taken]
    if not plain or not taken:
        return
    first, given = taken[0], by_key.get(taken[0].key) or by_key[str(taken[0].unless)]
    too_many = len(plain) > len(free) and not any(p.several for p in free)
    # Where the others take any number of paths, a checkpoint is known by its name.
    if too_many or (first.key == "checkpoint" and Path(plain[0]).suffix in _WEIGHTS):
        word = plain[command.positionals.index(first)] if too_many else plain[0]
        ensemble = " (checkpoint=[a.pt,b.pt] is an ensemble)" * given.startswith("checkpoint=")
        raise ValueError(f"{word} and {given} are given for one thing: leave one out{ensemble}")


def _check_output_is_meant(
    command: Command,
    paths: dict[str, str | list[str]],
    overrides: list[str],
    *,
    by_option: bool,
) -> None:
    """Raises ValueError where a plain path became the output because an input has its key.

    ``import a.pth source=b.pth``: more likely two inputs than a file that may be overwritten.
    """
    path = paths.get(command.output or "")
    inputs = {p.key for p in command.positionals if p.key != command.output}
    given = [o for o in overrides if o.lstrip("+").partition("=")[0] in inputs]
    if given and not by_option and isinstance(path, str) and os.path.exists(path):
        raise ValueError(
            f"{path} exists, and beside {given[0]} it would be the output: write "
            f"{command.output}={path} if that is meant, or leave one of the two out"
        )


def _flags(options: list[str], command: Command) -> tuple[list[str], list[str]]:
    """--json is json=true, and so for every key of the command's; and the options that are none."""
    keys = top_level_keys(command.config)
    named = {option: option.removeprefix("--").replace("-", "_") for option in options}
    known = [o for o in options if o.startswith("--") and named[o] in keys]
    return [f"{named[o]}=true" for o in known], [o for o in options if o not in known]


def _is_override(word: str, command: Command) -> bool:
    if not command.positionals:
        return True
    if not SHAPE.fullmatch(word) or word.startswith(("/", "./", "../", "~/")):
        return False
    head = re.split(r"[.@/=]", word.lstrip("+~"), maxsplit=1)[0]
    # ~name/photos is a user's folder, where there is such a user; ~name deletes a key.
    is_path = os.path.exists(word) or ("/" in word and os.path.expanduser(word) != word)
    return not is_path or head in top_level_keys(command.config)


def _assigned(
    command: Command, positionals: list[Positional], paths: list[str]
) -> dict[str, str | list[str]]:
    """Key -> path, from left to right."""
    found: dict[str, str | list[str]] = {}
    left = list(paths)
    for positional in positionals:
        if positional.several and left:
            found[positional.key], left = left, []
        elif left:
            found[positional.key] = left.pop(0)
    spaces = next((word for word in paths if word.startswith("=") or word.endswith("=")), None)
    if spaces is not None and not os.path.exists(spaces):
        raise ValueError(f"{spaces!r}: write key=value without spaces around the =")
    if left:
        raise ValueError(
            f"{left[0]!r} is one argument too many; usage: detection {command.name} {command.usage}"
        )
    return found


def _whole(override: str) -> str:
    """A path behind key= arrives as it is written: Hydra's grammar knows no ~, \\ and ( in it."""
    key, _, value = override.partition("=")
    if not re.match(r"/|\.{1,2}/|~$|~/|[A-Za-z]:[\\/]|\\\\", value) or "," in value:
        return override
    path = os.path.expanduser(value)
    if re.fullmatch(r"[\w./:-]+", path):
        return f"{key}={path}"
    # Within quotes a backslash is one, unless a quote follows.
    quoted = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ("\\" * bool(m[2])) + m[2], path)
    return f'{key}="{quoted}"'


def _literal(path: str) -> str:
    """OmegaConf takes ${...} within a text for another key's value, unless it is escaped."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", path)
