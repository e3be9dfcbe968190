"""Composes a configuration out of configs/*.yaml and overrides; says clearly what is wrong.

Hydra is asked to compose and for nothing else: it neither changes the working directory nor makes
folders nor configures logging.
"""

from __future__ import annotations

import importlib
import inspect
import logging

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from detection.cli.choices import is_group
from detection.cli.config_folders import CONFIGS
from detection.cli.explain import check_choices, check_keys, explain
from detection.cli.follow_weights import following_overrides

log = logging.getLogger("configuration")


def compose_config(config: str, overrides: list[str]) -> DictConfig:
    """The configuration; ValueError names the nearest key or file if an override fits none."""
    composed = _compose(config, overrides)
    following = following_overrides(composed, overrides)
    return _compose(config, [*overrides, *following]) if following else composed


def _compose(config: str, overrides: list[str]) -> DictConfig:
    replaced = _replaced_classes(overrides)
    check_choices(config, overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        known = _with_groups(config, overrides)
        if not overrides:
            return known
        if not replaced:
            check_keys(config, overrides, known)
        try:
            composed = compose(config, overrides=_without_old_keys(overrides, replaced))
        except (HydraException, ValueError) as error:
            raise ValueError(explain(error, config, overrides, known)) from None
    _check_numbers(composed, known, overrides)
    for key in replaced:
        _drop_old_settings(composed, key, overrides)
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


def _with_groups(config: str, overrides: list[str]) -> DictConfig:
    """The configuration under those overrides alone that choose files, if these are right."""
    groups = [o for o in overrides if is_group(o.partition("=")[0])]
    try:
        return compose(config, overrides=groups)
    except (HydraException, ValueError):
        return compose(config)


def _check_numbers(composed: DictConfig, plain: DictConfig, overrides: list[str]) -> None:
    """What is a number in the files must be one on the command line too."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        default = OmegaConf.select(plain, key, throw_on_missing=False)
        given = OmegaConf.select(composed, key, throw_on_missing=False)
        if isinstance(default, (int, float)) and not isinstance(given, (int, float, type(None))):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise ValueError(f"{override}: {key} must be {kind}, as {default} is")
