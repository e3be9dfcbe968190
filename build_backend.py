"""setuptools, which asks for torch while building only where it is not installed already.

The RoI kernels are compiled with torch's headers.  ``pip install .`` builds apart from the
environment it installs into, and would download a second torch of several gigabytes for them.
setup.py finds the one that is there.  With LibTorch's stable ABI any torch from 2.11 on will do.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig

from setuptools import build_meta

# What pip calls, by these names.
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

OLDEST = (2, 11)  # also in pyproject.toml


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_torch()]


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_torch()]


def _torch() -> list[str]:
    """Nothing if the environment that is installed into has a torch."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    for found in importlib.metadata.distributions(name="torch", path=folders):
        if tuple(int(part) for part in found.version.split(".")[:2]) >= OLDEST:
            return []
    return [f"torch>={OLDEST[0]}.{OLDEST[1]}"]
