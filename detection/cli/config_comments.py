"""The comments of the YAML files in configs/, by key: what --help and docs/configuration.md say.

The files are read as text: a comment belongs to the key on its line, or to the key below it.  The
comment above the first key describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from detection.cli.config_folders import find_file


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

    def starts_from(self) -> Iterator[tuple[str, str]]:
        """(group, file) of what it starts from; the file is empty where another is named whole."""
        for entry in self.defaults:
            group, _, file = (part.strip() for part in entry.split("#")[0].partition(":"))
            if group != "_self_":
                yield group, file


def read(path: Path) -> ConfigFile:
    """Reads the style that configs/ is written in: indented blocks, one key a line."""
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(source: str) -> ConfigFile:
    found = ConfigFile()
    parents: list[tuple[int, str]] = []  # (indentation, key)
    above: list[str] = []  # comment lines that wait for their key
    in_header = True
    for line in source.splitlines():
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


def comments(config: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Key -> comment, of configs/<config>.yaml and of the files that it starts from.

    ``chosen``: group -> file, where another one than the default was chosen.
    """
    return {row.key: row.comment for row in rows_of(config, chosen=chosen) if row.comment}


def rows_of(
    file: str, package: str = "", chosen: Mapping[str, str] = MappingProxyType({})
) -> list[Row]:
    """The rows of a file such as runtime/fast and, before them, of the files that it starts from.

    ``package``: what stands before its keys.  ``chosen``: as in :func:`comments`.
    """
    path = find_file(file)
    if path is None:
        return []
    content = read(path)
    if content.package is not None:
        package = content.package.replace("_global_", "")
    folder = file.rpartition("/")[0]

    def whole(group: str) -> str:
        return group.lstrip("/") if group.startswith("/") else f"{folder}/{group}".lstrip("/")

    starts = [*content.starts_from()]
    mark = "override "  # of what the files that it starts from choose
    own = {whole(g.removeprefix(mark)): name for g, name in starts if g.startswith(mark)}
    chosen = {**own, **chosen}
    found: list[Row] = []
    for group, name in starts:
        if group.startswith(mark):
            continue
        inside = whole(group)
        if not name:  # a file of the same folder, for the same keys
            found += rows_of(inside, package, chosen)
        else:
            found += rows_of(
                f"{inside}/{chosen.get(inside, name)}", inside.replace("/", "."), chosen
            )
    prefix = f"{package}." if package else ""
    return found + [Row(f"{prefix}{row.key}", row.default, row.comment) for row in content.rows]


def chosen_files(overrides: Sequence[str]) -> dict[str, str]:
    """Group -> file, as ``overrides`` and the experiment among them choose."""
    named = dict(o.split("=", 1) for o in overrides if re.fullmatch(r"[\w/]+=[\w/-]+", o))
    return _of_experiment(named.get("experiment", "null")) | named


def _of_experiment(name: str) -> dict[str, str]:
    """Group -> file, its own choices over those of the experiment that it starts from."""
    path = find_file(f"experiment/{name}")
    found: dict[str, str] = {}
    for group, file in read(path).starts_from() if path else ():
        if file:
            found[group.removeprefix("override ").lstrip("/")] = file
        else:
            inside = f"{name.rpartition('/')[0]}/{group}".lstrip("/")
            base = group.removeprefix("/experiment/") if group.startswith("/") else inside
            found |= _of_experiment(base)
    return found
