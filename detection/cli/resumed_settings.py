"""What a run that is gone on with must have in common with the run as it began: its settings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from detection.cli.objects import as_plain
from detection.earlier_versions import ADDED_KEYS, current_settings
from detection.engine.checkpoints import LAST
from detection.engine.folder_lock import read_marker
from detection.user_path import user_path
from detection.version import __version__

log = logging.getLogger("train")

# What leaves the result as it is: keys, and nodes with all their keys.  ``runtime`` is what
# :mod:`detection.cli.processes` keeps or warns of; ``validation`` measures the same numbers.
FREE = (
    *("resume", "resume_with_changes", "overwrite", "output_dir", "runtime", "validation"),
    "logger",
    *("schedule.rules.iterations", "schedule.rules.log_every", "schedule.rules.checkpoint_every"),
    "schedule.rules.patience",
    *("data.in_memory", "data.test_batch_size", "init_new_classes"),
    *("report", "open"),
)
# What a training has from its first iteration on: a resumed one cannot have another.
BEGINS_WITH = ("weights", "weights_entry", "init", "data.mean_over")
# What a validation measures, and on what: values before and after such a change say nothing of
# each other.
MEASURED = ("data", "inference", "val_proposals")
_PATHS = ("data.root", "weights", "init", "proposals", "val_proposals")
_SHOWN = 4


def begun_with(folder: Path) -> DictConfig | None:
    """The configuration of the run in ``folder``; None if there is none yet."""
    file = folder / "config.yaml"
    if not file.is_file():
        return None
    try:
        config = OmegaConf.load(file)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{file}: not readable ({reason}): resume=true compares the settings with it; put it "
            "right, or move it away to go on without comparing"
        ) from None
    if not isinstance(config, DictConfig):
        raise ValueError(f"{file}: no configuration; put it right, or move it away")
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return OmegaConf.create(current_settings(plain))  # type: ignore[arg-type]


def check_settings(folder: Path, config: DictConfig) -> bool:
    """Compares ``config`` with what the run in ``folder`` began with, where it goes on with one.

    Returns whether its validations measure the same as before.  Raises ValueError, with both
    values, if something else differs that changes the result, unless resume_with_changes=true.
    """
    if not config.resume or not (folder / LAST).is_file():
        return True
    before = begun_with(folder)
    if before is None:
        return True
    version = (read_marker(folder) or {}).get("version", __version__)
    changed = _changed(_flat(before), _flat(config), same_version=version == __version__)
    impossible = [key for key in changed if key in BEGINS_WITH]
    if impossible:
        raise ValueError(
            f"{folder}: a training begins with {', '.join(impossible)}, and resume=true goes on "
            f"from {LAST} ({_shown(changed, impossible)}): leave it out, or begin a new training "
            "in another output_dir"
        )
    if not changed:
        return True
    if not config.resume_with_changes:
        raise ValueError(
            f"{folder} was begun with other settings, which change the result "
            f"({_shown(changed, list(changed))}): give the same (--config {folder}/config.yaml has "
            "them), or go on with the new ones by resume_with_changes=true"
        )
    log.warning("%s goes on with other settings: %s", folder, _shown(changed, list(changed)))
    return not any(_is_in(key, MEASURED) for key in changed)


def _changed(
    before: dict[str, Any], now: dict[str, Any], *, same_version: bool
) -> dict[str, tuple[Any, Any]]:
    """key -> (value before, value now), of all keys that count.

    Keys that only one of two versions has are not compared.
    """
    free = [*FREE]
    if not (now.get("schedule.precise_bn") or "schedule.learning_rate.patience" in now):
        free.append("schedule.rules.evaluate_every")  # a validation changes nothing then
    keys = before.keys() | now.keys() if same_version else before.keys() & now.keys()
    found = {}
    for key in sorted(keys):
        values = before.get(key, ADDED_KEYS.get(key)), now.get(key)
        if _is_in(key, free) or values[0] == values[1]:
            continue
        if key in BEGINS_WITH and values[1] is None:
            continue
        if key in _PATHS and _place(values[0], before) == _place(values[1], now):
            continue
        found[key] = values
    return found


def _is_in(key: str, nodes: Iterator[str] | list[str] | tuple[str, ...]) -> bool:
    return any(key == node or key.startswith(f"{node}.") for node in nodes)


def _place(path: Any, settings: dict[str, Any]) -> Path | None:
    """Where ``path`` is, seen from the folder that the run's lies in: both may have moved."""
    if path is None:
        return None
    found = user_path(str(path)).resolve()
    beside = user_path(str(settings.get("output_dir"))).resolve().parent
    return found.relative_to(beside) if found.is_relative_to(beside) else found


def _flat(config: DictConfig) -> dict[str, Any]:
    """key with dots -> value; lists are values."""

    def entries(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from entries(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    try:
        return dict(entries(as_plain(config)))
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"config.yaml of the run that is resumed: {reason}") from None


def _shown(changed: dict[str, tuple[Any, Any]], keys: list[str]) -> str:
    """Both values of each; the longest lists of differences are cut."""
    parts = [f"{key}: {changed[key][0]!r}, now {changed[key][1]!r}" for key in keys[:_SHOWN]]
    if len(keys) > _SHOWN:
        parts.append(f"and {len(keys) - _SHOWN} more")
    return "; ".join(parts)
