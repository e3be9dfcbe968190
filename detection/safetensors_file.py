"""The content of a checkpoint as a safetensors file: all that is no tensor is JSON in its metadata.

Such a file can be shared: it holds no code, it is mapped into memory instead of being unpickled,
and other programs read its tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from detection.damage import BLANK, METADATA_KEY, check_safetensors, seal_safetensors

SUFFIX = ".safetensors"
# The key of the metadata that shows that a file is a checkpoint.
_KEY = "detection"


def write(content: Mapping[str, Any], path: Path) -> None:
    """``content``: the tensors in its entry "weights", and plain values in all others.

    Raises ValueError for what JSON cannot hold, such as an optimizer's state.
    """
    plain = {key: value for key, value in content.items() if key != "weights"}
    try:
        text = json.dumps(plain)
    except TypeError as error:
        raise ValueError(
            f"a {SUFFIX} file holds weights and plain values alone ({error}): what resuming needs "
            "is kept in a .pt file"
        ) from None
    write_tensors(content["weights"], path, metadata={_KEY: text, METADATA_KEY: BLANK})
    seal_safetensors(path)


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]
) -> None:
    """``save_file`` for tensors of any layout, and with the permissions of any other new file."""
    path.touch()
    permissions = path.stat().st_mode
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(plain, path, metadata=dict(metadata))
    path.chmod(permissions)  # it gives its own to the owner alone


def read(path: Path, *, check: bool = True) -> dict[str, Any]:
    """The content; of a file of tensors alone, these.  ``check``: whether its checksum is compared.

    Raises ValueError if it is no safetensors file, or if it is damaged.
    """
    entries = metadata(path)
    if check:
        check_safetensors(path, entries)
    described = entries.get(_KEY)
    unknown = entries.keys() - {_KEY, METADATA_KEY}
    if described is not None and unknown:
        raise ValueError(f"{path}: its metadata has {min(unknown)!r}, which no checkpoint has")
    tensors = load_file(path)
    if described is None:
        return dict(tensors)
    try:
        return {**json.loads(described), "weights": tensors}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: its metadata {_KEY!r} is damaged: {error}") from None


def metadata(path: Path) -> dict[str, str]:
    """Raises ValueError if it is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable file of weights: {error}") from None


def is_checkpoint_file(path: Path) -> bool:
    """Whether :func:`write` has written it."""
    return path.suffix == SUFFIX and _KEY in metadata(path)
