"""Objects out of configurations: trees of plain values whose ``_target_`` names a class.

A configuration may come out of a file from anywhere, so nothing is built that its reader does not
trust: classes of this package, and of packages that are named as trusted.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from detection.earlier_versions import current_arguments
from detection.version import __version__

TRUST_VARIABLE = "DETECTION_TRUST"


def build(config: Any, *, trust: Sequence[str] = (), source: str = "the checkpoint") -> Any:
    """Builds ``config``: mappings with ``_target_``, also nested in mappings and lists.

    ``_target_``: the full name of a class, which is called with the other entries as keyword
    arguments; with ``_partial_: true`` the result is the class with these arguments bound.
    ``trust``: packages besides this one whose classes may be built; the environment variable
    DETECTION_TRUST (names with commas between them) adds to them.
    ``source``: where ``config`` comes from, for messages.
    Raises ValueError for a class that is not trusted, is not there, or refuses its arguments.
    """
    packages = ("detection", *trust, *_trusted_by_environment())
    return _build(config, packages, source)


def packages_of(config: Any) -> set[str]:
    """The packages other than this one whose classes ``config`` names."""
    if isinstance(config, (list, tuple)):
        return set().union(*map(packages_of, config))
    if not isinstance(config, Mapping):
        return set()
    found = set().union(*map(packages_of, config.values()))
    if "_target_" in config:
        found.add(str(config["_target_"]).partition(".")[0])
    return found - {"detection"}


def _trusted_by_environment() -> list[str]:
    names = os.environ.get(TRUST_VARIABLE, "").split(",")
    return [name.strip() for name in names if name.strip()]


def _build(config: Any, packages: Sequence[str], source: str) -> Any:
    if isinstance(config, (list, tuple)):
        return [_build(item, packages, source) for item in config]
    if not isinstance(config, Mapping):
        return config
    settings = {
        key: _build(value, packages, source)
        for key, value in config.items()
        if key not in ("_target_", "_partial_")
    }
    if "_target_" not in config:
        return settings
    target, arguments = current_arguments(str(config["_target_"]), settings)
    factory = _class(target, packages, source)
    if config.get("_partial_"):
        return functools.partial(factory, **arguments)
    try:
        return factory(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{target} does not take what {source} gives it ({error}); this is version "
            f"{__version__}: another version, or another class, takes other arguments"
        ) from None


def _class(target: str, packages: Sequence[str], source: str) -> type:
    module, _, name = target.rpartition(".")
    if not _is_inside(module, packages):
        package = target.partition(".")[0]
        raise ValueError(
            f"{source} names {target!r}: only detection.* may be instantiated unless you trust "
            f"others; if you trust the package and this file, add trust=[{package}], or set the "
            f"environment variable {TRUST_VARIABLE}={package}"
        )
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        remedy = (
            f"which this version ({__version__}) does not have"
            if module.partition(".")[0] == "detection"
            else f"which cannot be imported ({error}): install the package, or mend the name"
        )
        raise ValueError(f"{source} names {target!r}, {remedy}") from None
    if not isinstance(factory, type):
        raise ValueError(f"{source} names {target!r}, which is no class")
    # A class that a trusted module only imported (a Path, a SummaryWriter) is not one of its own.
    if not _is_inside(factory.__module__, packages):
        raise ValueError(
            f"{source} names {target!r}, which is {factory.__module__}.{factory.__name__}: only "
            "classes that their package defines itself may be instantiated"
        )
    return factory


def _is_inside(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
