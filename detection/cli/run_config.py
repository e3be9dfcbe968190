"""--config FILE: the config.yaml that a run left, or a part of one, in place of the defaults."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from detection.cli.config_folders import CONFIGS, searched_first
from detection.cli.given import leave_alone
from detection.earlier_versions import current_settings

# What to do with an output folder is said of each run anew.
NOT_TAKEN = ("resume", "resume_with_changes", "overwrite")
# What a training's file says that another command has no use for.
LEFT_OUT = {"show_data": ("dry_run", "report", "logger")}


@contextmanager
def as_default(file: Path | None, config: str) -> Iterator[list[str]]:
    """Within it, configs/<config>.yaml holds the values of ``file``; yields their keys.

    Raises FileNotFoundError, or ValueError for a file that is no such configuration.
    """
    if file is None:
        yield []
        return
    own = _read(file)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        default = compose(config)
    OmegaConf.set_struct(default, False)
    try:
        left_out = (*NOT_TAKEN, *LEFT_OUT.get(config, ()))
        taken = {key: value for key, value in own.items() if key not in left_out}
        lay_over(default, taken, only_known=True)
    except KeyError as error:
        raise ValueError(f"--config {file}: configs/{config}.yaml {error.args[0]}") from None
    keys = [key for key in _leaves(own) if key not in LEFT_OUT.get(config, ())]
    leave_alone(default, keys)
    with tempfile.TemporaryDirectory() as folder:
        OmegaConf.save(default, Path(folder) / f"{config}.yaml")
        with searched_first(Path(folder)):
            yield keys


def _leaves(own: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in own.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"--config {file}: no such file")
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--config {file}: no readable YAML file ({reason})") from None
    if not isinstance(content, dict):
        raise ValueError(f"--config {file}: no configuration; it needs lines of key: value")
    return current_settings({str(key): value for key, value in content.items()})


def lay_over(
    node: DictConfig, own: Mapping[str, Any], *, only_known: bool, prefix: str = ""
) -> None:
    """Puts ``own`` in the place of what ``node`` has; keys that only ``node`` has stay.

    Settings of another class are other ones: they are taken as a whole.  ``only_known``: KeyError
    for the first key that ``node`` has not.
    """
    for key, value in own.items():
        if key not in list(node):
            if not only_known:
                node[key] = value
                continue
            near = difflib.get_close_matches(key, map(str, node), n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else "is it of another command?"
            raise KeyError(f"has no key {prefix}{key}; {hint}")
        before = node._get_node(key)
        if (
            isinstance(value, dict)
            and isinstance(before, DictConfig)
            and value.get("_target_", before.get("_target_")) == before.get("_target_")
        ):
            lay_over(before, value, only_known=only_known, prefix=f"{prefix}{key}.")
        else:
            node[key] = value
