"""The choices of a command: its groups, and the files of each that the command can use."""

from __future__ import annotations

import re

from detection.cli.config_comments import chosen_files, read, rows_of
from detection.cli.config_folders import find_file, roots


def is_group(name: str) -> bool:
    """Whether a folder of YAML files has this name."""
    return any((root / name).is_dir() for root in roots())


def groups_of(config: str) -> dict[str, list[str]]:
    """The groups that configs/<config>.yaml chooses a file of, those within them, and the files.

    No choice is a file that lacks keys of the default one, as a classifier's schedule does for a
    detector, nor one whose values follow keys that the command has not, nor an experiment that
    chooses such a file or one of another group.
    """
    found = all_groups_of(config)
    for group, default in _defaults(config).items():
        if group != "experiment":
            needed = _plain_keys(f"{group}/{default}")
            found[group] = [n for n in found[group] if needed <= _plain_keys(f"{group}/{n}")]
    known = _all_keys(config)
    for group in found.keys() - _defaults(config).keys():
        found[group] = [n for n in found[group] if _follows(f"{group}/{n}") <= known]
    if "experiment" in found:
        found["experiment"] = [name for name in found["experiment"] if _fits(name, found)]
    return found


def shown_groups_of(config: str) -> dict[str, list[str]]:
    """:func:`groups_of` without the files that need more than they set themselves.

    Such a file is taken by one of its name a level higher: ``model=vgg16`` chooses
    ``model/backbone=vgg16`` and the bins that this needs.
    """
    found = groups_of(config)
    whole = {(group, name) for group, names in found.items() for name in names}
    return {
        group: [name for name in names if (group.rpartition("/")[0], name) not in whole]
        for group, names in found.items()
    }


def all_groups_of(config: str) -> dict[str, list[str]]:
    """:func:`groups_of` with all files, those that the command cannot use too."""
    found: dict[str, list[str]] = {}
    for group in _defaults(config):
        found[group] = _files(group, deep=group == "experiment")
        if group != "experiment":
            folders = [folder for root in roots() for folder in (root / group).glob("*/")]
            within = {f"{group}/{folder.name}" for folder in folders if folder.is_dir()}
            found |= {name: _files(name, deep=False) for name in within}
    return dict(sorted(found.items()))


def top_level_keys(config: str) -> set[str]:
    """The first parts of the keys and groups of configs/<config>.yaml."""
    names = [row.key.partition(".")[0] for row in rows_of(config)]
    return {*names, *(group.partition("/")[0] for group in _defaults(config))}


def _defaults(config: str) -> dict[str, str]:
    """Group -> the file that configs/<config>.yaml chooses, or null."""
    path = find_file(config)
    found: dict[str, str] = {}
    for group, file in read(path).starts_from() if path else ():
        if file:
            found[group.removeprefix("override ").lstrip("/")] = file
        else:
            found |= _defaults(group)
    return found


def _plain_keys(file: str) -> set[str]:
    """The keys that a program reads: the settings of a class belong to the class."""
    keys = [row.key for row in rows_of(file)]
    classes = tuple(key.removesuffix("_target_") for key in keys if key.endswith("_target_"))
    return {key for key in keys if not key.startswith(classes)}


def _all_keys(config: str) -> set[str]:
    """The keys of a command with its default files."""
    files = {"": config} | {f"{g}.": f"{g}/{file}" for g, file in _defaults(config).items()}
    return {f"{prefix}{row.key}" for prefix, file in files.items() for row in rows_of(file)}


def _follows(file: str) -> set[str]:
    """The keys of other files that values of this one follow, as ${data.crop.side} does."""
    return {key for row in rows_of(file) for key in re.findall(r"\$\{(\w[\w.]*)\}", row.default)}


def _fits(experiment: str, groups: dict[str, list[str]]) -> bool:
    chosen = chosen_files([f"experiment={experiment}"])
    del chosen["experiment"]
    return all(file in groups.get(group, []) for group, file in chosen.items())


def _files(group: str, *, deep: bool) -> list[str]:
    """The names of a group's files; ``deep``: those in its subfolders too."""
    pattern = "**/*.yaml" if deep else "*.yaml"
    folders = [root / group for root in roots()]
    return sorted(
        {
            file.relative_to(folder).with_suffix("").as_posix()
            for folder in folders
            for file in folder.glob(pattern)
        }
    )
