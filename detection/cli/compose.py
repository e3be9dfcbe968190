"""Composes a configuration out of configs/*.yaml and overrides; says clearly what is wrong.

Hydra is asked to compose and for nothing else: it neither changes the working directory nor makes
folders nor configures logging.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from detection.cli.choices import is_group
from detection.cli.config_folders import CONFIGS, own_folders
from detection.cli.explain import check_choices, check_keys, explain
from detection.cli.follow_weights import following_overrides
from detection.cli.given import leave_alone
from detection.cli.outline import outline
from detection.cli.overrides import check_depth, key_of
from detection.cli.wrong_configuration import WrongConfiguration

log = logging.getLogger("configuration")


class _OwnFolders(SearchPathPlugin):
    """Tells Hydra of them."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for own in reversed(own_folders()):
            search_path.prepend(provider="--config-dir", path=f"file://{own}")


Plugins.instance().register(_OwnFolders)


def compose_config(config: str, overrides: list[str]) -> DictConfig:
    """The configuration; ValueError says what is wrong with a key, a file or a value.

    A value that has to be given may still be missing.
    """
    composed = compose_unchecked(config, overrides)
    check_values(config, composed, overrides)
    return composed


def compose_unchecked(
    config: str, overrides: list[str], *, given: Iterable[str] = ()
) -> DictConfig:
    """The configuration, whatever its values; ValueError if an override fits no key or file.

    ``given``: keys that are the user's besides those of ``overrides``.
    """
    try:
        composed = _compose(config, overrides)
    except WrongConfiguration as wrong:
        others = _problems(config, [o for o in overrides if o not in wrong.overrides])
        raise WrongConfiguration([*wrong.problems, *others]) from None
    following = following_overrides(composed, {*given, *map(key_of, overrides)})
    if following:
        composed = _compose(config, [*overrides, *following])
    leave_alone(composed, map(key_of, [*overrides, *following]))
    return composed


def _problems(config: str, overrides: list[str]) -> list[str]:
    """What is wrong with these overrides, a line each."""
    try:
        if overrides:
            compose_config(config, overrides)
    except WrongConfiguration as error:
        return error.problems
    except ValueError as error:
        return [str(error)]
    return []


def _compose(config: str, overrides: list[str]) -> DictConfig:
    for override in overrides:
        check_depth(override)
    replaced = _replaced_classes(overrides)
    check_choices(config, overrides)
    if overrides and not replaced:
        _check_keys_of_files(config, overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        known, right = _with_groups(config, overrides)
        if not overrides:
            return known
        if not replaced:
            check_keys(config, overrides, known)
        typed = as_typed(config, overrides)
        composed = _with_values(known, typed) if right and not replaced else None
        if composed is None:
            try:
                composed = compose(config, overrides=_without_old_keys(typed, replaced))
            except (HydraException, ValueError) as error:
                raise ValueError(explain(error, config, overrides, known)) from None
    for key in replaced:
        _drop_old_settings(composed, key, overrides)
    return composed


def _check_keys_of_files(config: str, overrides: list[str]) -> None:
    """``check_keys`` on the files as they stand, where that is all that there is to compose.

    To compose them takes a quarter of the time until an answer.
    """
    keys = [key_of(override) for override in overrides]
    others = any(is_group(key) or key.endswith("_partial_") for key in keys)  # not in the outline
    values = None if others or own_folders() else outline(config)
    known: dict[str, Any] = {}
    for key, value in (values or {}).items():
        *parents, last = key.split(".")
        node = known
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    if known:
        check_keys(config, overrides, OmegaConf.create(known))


def check_values(
    config: str,
    composed: DictConfig,
    overrides: list[str],
    *,
    is_needed: Callable[[str], str] | None = None,
) -> None:
    """Raises ValueError for all values that are wrong, and, with ``is_needed``, that are missing.

    ``is_needed``: key -> the message that it has to be given.
    """
    # pydantic takes a tenth of a second.
    from detection.cli.settings.check import check

    check(config, composed, {key_of(override) for override in overrides}, is_needed=is_needed)


def check_overrides(key: str, config: str, overrides: Sequence[str]) -> None:
    """Raises ValueError for what is wrong with the overrides that a key holds for a command."""
    try:
        compose_config(config, [*overrides])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def as_typed(config: str, overrides: list[str]) -> list[str]:
    """The overrides with quotes around texts that Hydra would read as something else."""
    from detection.cli.settings import texts

    return texts.as_typed(config, overrides)


def _with_values(known: DictConfig, overrides: list[str]) -> DictConfig | None:
    """``known`` under overrides that set values alone; None if there are others, or one is wrong.

    To compose everything a second time would take as long as all else until the answer.
    """
    values = [override for override in overrides if not is_group(override.partition("=")[0])]
    if not all(re.match(r"[\w.-]+=(?!\s*\{)", override) for override in values):
        return None
    composed = copy.deepcopy(known)
    try:
        for parsed in OverridesParser.create().parse_overrides(values):
            if parsed.is_sweep_override():
                return None
            OmegaConf.update(composed, parsed.key_or_group, parsed.value(), merge=True)
    except (HydraException, OmegaConfBaseException, ValueError):
        return None
    return composed


def _replaced_classes(overrides: list[str]) -> list[str]:
    """The keys whose class is replaced on the command line: of ``model.backbone._target_=...``."""
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    return [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]


def _without_old_keys(overrides: list[str], replaced: list[str]) -> list[str]:
    """The overrides, where a class that is replaced may get settings that the old one has not."""
    inside = tuple(f"{key}." for key in replaced)
    return [f"++{o}" if o.startswith(inside) else o for o in overrides]


def _drop_old_settings(composed: DictConfig, key: str, overrides: list[str]) -> None:
    """A new class keeps of the old one's settings in the files those alone that it takes."""
    node = OmegaConf.select(composed, key)
    named = [o.lstrip("+").partition("=")[0] for o in overrides]
    given = {name.removeprefix(f"{key}.").partition(".")[0] for name in named}
    in_files = [str(name) for name in node if not str(name).startswith("_") and name not in given]
    taken = _takes(node["_target_"], in_files, f"{key}._target_")
    dropped = [name for name in in_files if name not in taken]
    with open_dict(composed):
        for name in dropped:
            del node[name]
    if in_files:
        log.info(
            "%s: %s takes %s from the files, and not %s",
            key,
            node["_target_"],
            ", ".join(taken) or "nothing",
            ", ".join(dropped) or "anything else",
        )


def _takes(target: str, names: list[str], key: str) -> list[str]:
    """Those of ``names`` that a class on the command line has an argument for."""
    module, _, name = target.rpartition(".")
    try:
        arguments = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{key}={target}: cannot be imported ({error}); install the package, or mend the name"
        ) from None
    takes_all = any(a.kind is inspect.Parameter.VAR_KEYWORD for a in arguments.values())
    return [name for name in names if takes_all or name in arguments]


def _with_groups(config: str, overrides: list[str]) -> tuple[DictConfig, bool]:
    """The configuration under those overrides alone that choose files, and whether they are right.

    Without them, if they are not.
    """
    groups = [o for o in overrides if is_group(o.partition("=")[0])]
    try:
        return compose(config, overrides=groups), True
    except (HydraException, ValueError):
        return compose(config), False
