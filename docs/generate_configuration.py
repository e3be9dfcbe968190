"""Writes docs/configuration.md from the YAML files in configs/ and their comments.

python docs/generate_configuration.py

Reads the files as text: a comment belongs to the key on its line, or to the key below it.  The
comment above the first key describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from detection.cli.config_folders import groups_of
from detection.cli.settings.describe import describe

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
PAGE = ROOT / "docs" / "configuration.md"

INTRODUCTION = """\
# Configuration

This page is written by `python docs/generate_configuration.py` from the files in `configs/`: change
the comments there, not here.

A tool takes its values from one file, `configs/<tool>.yaml`, and from one file of each group that
it uses. On the command line `group=file` chooses a file of a group, and `key=value` changes one
value. `--help` prints all values of a tool. A key that does not exist is an error that names the
nearest one, and a value that is not of its type and range one that says what to write. `???` means
that a value must be given, `${key}` that it is taken from another key.
"""


@dataclass(frozen=True)
class Row:
    """One key of a file."""

    key: str
    default: str
    comment: str


@dataclass
class ConfigFile:
    """What a YAML file says: the comment at its top, the files it starts from, its keys.

    ``package``: where Hydra puts its keys, if not where its folder says.
    """

    header: list[str] = field(default_factory=list)
    package: str | None = None
    defaults: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def read(path: Path) -> ConfigFile:
    """Reads the style that configs/ is written in: indented blocks, one key a line."""
    found = ConfigFile()
    parents: list[tuple[int, str]] = []  # (indentation, key)
    above: list[str] = []  # comment lines that wait for their key
    in_header = True
    for line in path.read_text().splitlines():
        text, comment = _split_comment(line)
        indent = len(text) - len(text.lstrip())
        content = text.strip()
        if not content:
            if comment.startswith("@package"):
                found.package = comment.removeprefix("@package").strip()
            elif comment:
                above.append(comment)
            elif above and in_header:  # an empty line ends the header
                found.header, above, in_header = above, [], False
            continue
        if in_header:
            found.header, above, in_header = above, [], False
        while parents and parents[-1][0] >= indent and not content.startswith("- "):
            parents.pop()
        key, _, value = content.partition(":")
        if content.startswith("- "):
            _add_item(found, parents, content.removeprefix("- "))
            continue
        parents.append((indent, key))
        if key == "defaults" and indent == 0:
            continue
        full = ".".join(name for _, name in parents)
        found.rows.append(Row(full, value.strip(), " ".join([*above, comment]).strip()))
        above = []
    return found


def _split_comment(line: str) -> tuple[str, str]:
    """(YAML, comment); a # within a word is none."""
    match = re.search(r"(^|\s)#\s?(.*)$", line)
    return (line[: match.start()].rstrip(), match[2].strip()) if match else (line.rstrip(), "")


def _add_item(found: ConfigFile, parents: list[tuple[int, str]], item: str) -> None:
    """An item of a list: of the files to start from, or of the value of the last key."""
    if parents and parents[-1] == (0, "defaults"):
        found.defaults.append(item)
        return
    row = found.rows[-1]
    items = [*filter(None, [row.default.strip("[]")]), item]
    found.rows[-1] = Row(row.key, f"[{', '.join(items)}]", row.comment)


def table(rows: list[Row], prefix: str, described: Mapping[str, str]) -> list[str]:
    """Markdown; keys as they are written on the command line."""
    lines = ["| key | default | type and range | comment |", "|---|---|---|---|"]
    for row in rows:
        is_group = not row.default and any(r.key.startswith(f"{row.key}.") for r in rows)
        if row.key.split(".")[-1] == "_partial_" or (is_group and not row.comment):
            continue
        default = f"`{row.default}`" if row.default else ""
        kind = "" if is_group else described.get(f"{prefix}{row.key}", "")
        cells = (f"`{prefix}{row.key}`", default, kind, row.comment)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines if len(lines) > 2 else []


def starts_from(defaults: list[str]) -> str:
    """One line on the entries of ``defaults:``; null is a group of which no file is chosen."""
    chosen = []
    for entry in defaults:
        group, _, name = entry.removeprefix("override ").partition(":")
        if entry == "_self_":
            continue
        name = name.split("#")[0].strip()
        chosen.append(f"`{group.strip().lstrip('/')}{f'={name}' if name else ''}`")
    return f"Starts from {', '.join(chosen)}." if chosen else ""


def section(path: Path, title: str, prefix: str) -> list[str]:
    found = read(path)
    if found.package is not None:
        prefix = f"{found.package}."
    parts = [f"### {title}", " ".join(found.header), starts_from(found.defaults)]
    lines = [line for part in parts if part for line in (part, "")]
    targets = {
        f"{prefix}{row.key}".removesuffix("._target_"): row.default
        for row in found.rows
        if row.key.endswith("_target_")
    }
    body = table(found.rows, prefix, describe(owner(path), targets))
    return [*lines, *body, ""] if body else lines


def owner(path: Path) -> str:
    """The file of configs/ whose settings say what the keys of a file may be."""
    if path.parent == CONFIGS:
        return path.stem
    group = path.parent.relative_to(CONFIGS).as_posix()
    if group == "views":
        return "test_classifier"
    return next(config for config in ("train", "classifier") if path.stem in _files(config, group))


def _files(config: str, group: str) -> list[str]:
    # network= is a classifier's group; its keys stand below model.backbone.
    return groups_of(config).get(group, [])


def experiments() -> list[str]:
    """One row for each: the first sentence of the lab note that it opens with."""
    lines = ["## `experiment=`", ""]
    lines += ["Whole runs: each file opens with its command, its time and its result.", ""]
    lines += ["| experiment | what it is |", "|---|---|"]
    folder = CONFIGS / "experiment"
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).with_suffix("")
        link = f"[{name}](../{path.relative_to(ROOT)})"
        lines.append(f"| {link} | {_first_sentence(read(path).header)} |")
    return [*lines, ""]


def _first_sentence(header: list[str]) -> str:
    note = []
    for line in header:
        if re.match(r"(command|paper|data|weights|measured|hardware|note):", line):
            break
        note.append(line)
    return " ".join(note)


def page() -> str:
    lines = [INTRODUCTION, "## Tools", ""]
    for path in sorted(CONFIGS.glob("*.yaml")):
        lines += section(path, f"`{path.name}`", "")
    lines += ["## Groups", ""]
    for path in sorted(CONFIGS.glob("*/**/*.yaml")):
        group = path.parent.relative_to(CONFIGS)
        if group.parts[0] != "experiment":
            prefix = f"{'.'.join(group.parts)}."
            lines += section(path, f"`{group}={path.stem}`", prefix)
    return "\n".join([*lines, *experiments()]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
