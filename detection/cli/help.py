"""What --help prints: usage, arguments, examples, and the keys with what YAML says of them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detection.cli.choices import groups_of
from detection.cli.commands import Command
from detection.cli.config_comments import chosen_files, comments, read
from detection.cli.config_folders import find_file

INDENT = 26  # of the second column


def help_text(
    command: Command,
    program: str,
    composed: DictConfig,
    *,
    purpose: str,
    overrides: Sequence[str],
    ranges: Mapping[str, str],
    everything: bool,
) -> str:
    """``overrides``: what ``composed`` was composed with.  ``ranges``: key -> its type and range.

    ``everything``: each key, and not only those that the command's YAML file names first.
    """
    said = comments(command.config, chosen_files(overrides))
    keys = list(_keys(composed))
    shown = keys if everything else _first_keys(command, composed)
    rows = []
    for key in shown:
        facts = [said.get(key, ""), ranges.get(key, "") if everything else ""]
        rows.append((f"{key}={_value(composed, key)}", "; ".join(filter(None, facts))))
    groups = groups_of(command.config)
    taken = {positional.key for positional in command.positionals} | {command.output}
    left = len([key for key in keys if key not in {*shown, *taken}])
    title = "Keys" if everything or not left else f"Keys; --help all lists {left} more"
    parts = {
        "Arguments": _columns(_arguments(command, said)),
        "Examples": [
            f"  {program} {example}" for example in command.examples or _header(command, "example")
        ],
        f"{title}, as in {shown[0].split('=')[0]}=VALUE" if shown else "": _columns(rows),
        "Choices of files, as in GROUP=FILE": _columns(
            [(f"{group}=", " | ".join(files)) for group, files in groups.items()]
        ),
    }
    lines = [f"usage: {program} {command.usage}", "", purpose]
    if not command.examples and (note := _header(command, "note")):
        lines += ["", *note]
    for title, body in parts.items():
        if body:
            lines += ["", f"{title}:", *body]
    return "\n".join(lines)


def _header(command: Command, name: str) -> list[str]:
    """The lines ``# name: ...`` above the first key of the command's YAML file."""
    path = find_file(command.config)
    header = read(path).header if path else []
    return [line.partition(":")[2].strip() for line in header if line.startswith(f"{name}:")]


def _first_keys(command: Command, composed: DictConfig) -> list[str]:
    """Those that the YAML file names, or all that stand in no group."""
    named = " ".join(_header(command, "keys")).split()
    if named:
        return named
    taken = {positional.key for positional in command.positionals} | {command.output}
    groups = {group.partition("/")[0] for group in groups_of(command.config)}
    return [key for key in _keys(composed) if not {key, key.split(".")[0]} & (taken | groups)]


def _arguments(command: Command, said: Mapping[str, str]) -> list[tuple[str, str]]:
    rows = [
        (f"{p.name}{'...' if p.several else ''}", f"{p.key}: {said.get(p.key, '')}".rstrip(": "))
        for p in command.positionals
    ]
    if command.output:
        rows.append(("-o OUTPUT", command.output))
    return [
        *rows,
        ("--config FILE", "values in place of the defaults: the config.yaml of a run, or your own"),
        ("--config-dir DIR", "a folder of your own files for GROUP=FILE, searched first"),
        ("--help all", "every key"),
    ]


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 100)
    lines = []
    for left, right in rows:
        text = textwrap.wrap(right, max(width - INDENT, 40), break_on_hyphens=False)
        first = f"  {left}"
        if text and len(first) < INDENT - 1:
            first, text = f"{first:{INDENT}}{text[0]}", text[1:]
        lines += [first, *(" " * INDENT + line for line in text)]
    return lines


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """The keys that hold values, as they are written on the command line."""
    for name in map(str, node):
        child = node._get_node(name)
        if isinstance(child, DictConfig) and len(child):
            yield from _keys(child, f"{prefix}{name}.")
        elif name != "_partial_":
            yield f"{prefix}{name}"


def _value(composed: DictConfig, key: str) -> str:
    """As it is written on the command line; nothing if it must be given."""
    try:
        value = OmegaConf.select(composed, key, throw_on_missing=True)
    except OmegaConfBaseException:  # missing, or taken from a key that is
        return ""
    return _text(value)


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if OmegaConf.is_list(value):
        return f"[{','.join(_text(item) for item in value)}]"  # type: ignore[attr-defined]
    return str(value)
