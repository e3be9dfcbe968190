"""A configuration for a caller in Python: the same files, checks and messages as on a command line.

Keys with dots are given as ``**{"schedule.batch_size": 4}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detection.cli.arguments import Arguments
from detection.cli.choices import is_group
from detection.cli.compose import compose_config
from detection.cli.follow_detector import follow_detector
from detection.cli.follow_weights import follow_file
from detection.weights.published import PUBLISHED


def configuration(
    config: str,
    values: Mapping[str, Any],
    *,
    paths: Mapping[str, str | PathLike[str] | None] | None = None,
    may_lack: Sequence[str] = (),
) -> DictConfig:
    """configs/<config>.yaml under ``values``, key -> value, or group -> file.

    ``paths``: key -> a path as it stands; None: as in the files.  ``may_lack``: keys that need no
    value here.
    Raises ValueError, which names the key, for what the files do not know and for what is missing.
    """
    given = {key: fspath(path) for key, path in (paths or {}).items() if path is not None}
    try:
        # Names of published weights decide what is composed; paths stand in no override.
        names = [f"{key}={value}" for key, value in given.items() if value in PUBLISHED]
        composed = compose_config(config, [*(_override(*item) for item in values.items()), *names])
        Arguments(paths={**given}).fill(composed)
        follow_file(composed, [*values])
        follow_detector(composed, [*values])
    except OmegaConfBaseException as error:
        raise ValueError(f"configuration: {' '.join(str(error).split())}") from None
    missing = sorted(OmegaConf.missing_keys(composed) - {*may_lack})
    if missing:
        raise ValueError(f"{', '.join(missing)}: a value is needed")
    return composed


def _override(key: str, value: Any) -> str:
    # The name of a file is no text: it chooses the file.
    return f"{key}={value if isinstance(value, str) and is_group(key) else _word(value)}"


def _word(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral):  # numpy's, too
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, str):
        # Backslashes count where a quote follows them, and nowhere else.
        escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
        return '"' + re.sub(r"(\\+)\Z", r"\1\1", escaped) + '"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_word, value)) + "]"
    raise ValueError(f"{value!r}: a value is a number, a text, true or false, or a list of these")
