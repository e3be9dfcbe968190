"""The command line: plain paths, -o, --config-dir and key=value.

A plain path never meets Hydra's grammar, so that a file may have any name.  What looks like
key=value is one, unless a file of that name exists and the command has no such key.  After ``--``
all words are paths.
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from omegaconf import DictConfig, OmegaConf

from detection.cli.commands import Command, Positional
from detection.cli.config_folders import searched_first, top_level_keys
from detection.cli.explain import SHAPE


@dataclass(frozen=True)
class Arguments:
    """``overrides``: for Hydra.  ``paths``: key -> path, or paths, as they stand."""

    overrides: list[str] = field(default_factory=list)
    paths: dict[str, str | list[str]] = field(default_factory=dict)
    config_dir: Path | None = None
    wants_help: bool = False

    def fill(self, composed: DictConfig) -> None:
        """Writes the plain paths into the configuration."""
        for key, path in self.paths.items():
            value = _literal(path) if isinstance(path, str) else [_literal(p) for p in path]
            OmegaConf.update(composed, key, value, merge=False)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse(command: Command, words: list[str]) -> Arguments:
    """Raises ValueError for a word that nothing takes."""
    split = words.index("--") if "--" in words else len(words)
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-o", "--output")
    parser.add_argument("--config-dir")
    parser.add_argument("words", nargs="*")
    given, unknown = parser.parse_known_intermixed_args(words[:split])
    flags, unknown = _flags(unknown, command)
    if unknown:
        raise ValueError(
            f"there is no option {unknown[0]}: write key=value, where --help lists the keys, or "
            "-- before a path that begins with -"
        )
    config_dir = Path(given.config_dir).expanduser() if given.config_dir else None

    overrides = flags
    plain: list[str] = []
    with searched_first(config_dir):
        for word in given.words:
            (overrides if _is_override(word, command) else plain).append(word)
    plain += words[split + 1 :]
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    paths: dict[str, str | list[str]] = {}
    if given.output is not None:
        if command.output is None:
            raise ValueError(f"{command.name} writes no files: leave out -o")
        if command.output in keys:
            raise ValueError(f"-o and {command.output}= are the same: leave one of them out")
        paths[command.output] = os.path.expanduser(given.output)
    positionals = [p for p in command.positionals if not {p.key, p.unless} & {*keys, *paths}]
    paths |= _assigned(command, positionals, [os.path.expanduser(word) for word in plain])
    return Arguments([_at_home(o) for o in overrides], paths, config_dir, given.help)


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
    if left:
        raise ValueError(
            f"{left[0]!r} is one argument too many; usage: detection {command.name} {command.usage}"
        )
    return found


def _at_home(override: str) -> str:
    """The shell expands ~ at a word's beginning alone, not behind key=."""
    key, _, value = override.partition("=")
    if value != "~" and not value.startswith("~/"):
        return override
    path = os.path.expanduser(value).replace('"', '\\"')
    return f'{key}="{path}"'


def _literal(path: str) -> str:
    """OmegaConf takes ${...} within a text for another key's value, unless it is escaped."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", path)
