"""What --help prints: usage, arguments, examples, and the keys with what YAML says of them."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from detection.cli.choices import groups_of, shown_groups_of
from detection.cli.command import Command
from detection.cli.config_comments import chosen_files, comments, read
from detection.cli.config_folders import find_file

INDENT = 26  # of the second column


def help_text(
    command: Command,
    program: str,
    values: Mapping[str, str],
    *,
    overrides: Sequence[str],
    everything: bool,
) -> str:
    """``values``: each key -> its value, under ``overrides``.

    ``everything``: each key, and not only those that the command's YAML file names first.
    """
    said = comments(command.config, chosen_files(overrides))
    ranges = _ranges(command, values) if everything else {}
    shown = list(values) if everything else _first_keys(command, values)
    rows = []
    for key in shown:
        facts = [said.get(key, ""), ranges.get(key, "") if everything else ""]
        rows.append((f"{key}={values.get(key, '')}", "; ".join(filter(None, facts))))
    groups = shown_groups_of(command.config)
    taken = {positional.key for positional in command.positionals} | {command.output}
    left = len([key for key in values if key not in {*shown, *taken}])
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
    lines = [f"usage: {program} {command.usage}", "", _docstring(command.module)]
    if not command.examples and (note := _header(command, "note")):
        lines += ["", *note]
    for title, body in parts.items():
        if body:
            lines += ["", f"{title}:", *body]
    return "\n".join(lines)


def _ranges(command: Command, values: Mapping[str, str]) -> dict[str, str]:
    """Key -> its type and range.  Imported here: the short help does not need it."""
    from detection.cli.settings.describe import describe

    targets = {k.removesuffix("._target_"): v for k, v in values.items() if k.endswith("._target_")}
    return describe(command.config, targets)


def _docstring(module: str) -> str:
    """That of the command, read without importing it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _header(command: Command, name: str) -> list[str]:
    """The lines ``# name: ...`` above the first key of the command's YAML file."""
    path = find_file(command.config)
    header = read(path).header if path else []
    return [line.partition(":")[2].strip() for line in header if line.startswith(f"{name}:")]


def _first_keys(command: Command, values: Mapping[str, str]) -> list[str]:
    """Those that the YAML file names, or all that stand in no group."""
    named = " ".join(_header(command, "keys")).split()
    if named:
        return named
    taken = {positional.key for positional in command.positionals} | {command.output}
    groups = {group.partition("/")[0] for group in groups_of(command.config)}
    return [key for key in values if not {key, key.split(".")[0]} & (taken | groups)]


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
