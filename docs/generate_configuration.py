"""Writes docs/configuration.md from the YAML files in configs/ and their comments.

python docs/generate_configuration.py

It also writes detection/weights/presets.json: what files of others do not hold, out of configs/.

detection/cli/config_comments.py reads the comments.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from detection.cli.choices import groups_of  # noqa: E402
from detection.cli.compose import compose_config  # noqa: E402
from detection.cli.config_comments import Row, read  # noqa: E402
from detection.cli.objects import as_plain  # noqa: E402
from detection.cli.settings.describe import describe  # noqa: E402

CONFIGS = ROOT / "configs"
PAGE = ROOT / "docs" / "configuration.md"
PRESETS = ROOT / "detection" / "weights" / "presets.json"

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
    header = [line for line in found.header if not re.match(r"(example|keys):", line)]
    parts = [f"### {title}", " ".join(header), starts_from(found.defaults)]
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
    commands = ("train", "classifier", "localizer")
    return next(config for config in commands if path.stem in _files(config, group))


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


def presets() -> str:
    """The detectors of detectron2, which ``modern_c4`` is, and the classifiers of ImageNet."""
    config = compose_config("train", ["experiment=modern_c4", "data.root=none"])
    data = config.data
    detector = {
        "model": as_plain(config.model),
        "resize": {
            "_target_": "detection.data.transforms.Resize",
            "shorter_sides": [data.test_shorter_side],
            "longest": data.longest,
        },
        "inference": as_plain(config.inference),
    }
    config = compose_config("classifier", ["data.root=none"])
    classifier = {"target": config.model._target_, "views": as_plain(config.data.views)}
    return json.dumps({"detector": detector, "classifier": classifier}, indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    PRESETS.write_text(presets())
