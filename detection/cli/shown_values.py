"""The values of a composed configuration as they are written on the command line."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def shown_values(composed: DictConfig) -> dict[str, str]:
    """Key -> value, nothing if it must be given."""
    return {key: _value(composed, key) for key in _keys(composed)}


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """The keys that hold values, as they are written on the command line."""
    for name in map(str, node):
        child = node._get_node(name)
        if isinstance(child, DictConfig) and len(child):
            yield from _keys(child, f"{prefix}{name}.")
        elif name != "_partial_":
            yield f"{prefix}{name}"


def _value(composed: DictConfig, key: str) -> str:
    """As it is written on the command line; nothing if it must be given."""
    try:
        value = OmegaConf.select(composed, key, throw_on_missing=True)
    except OmegaConfBaseException:  # missing, or taken from a key that is
        return ""
    return as_word(value)


def as_word(value: object) -> str:
    """``value`` behind key=, without the quotes of a shell."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | ListConfig):
        return f"[{','.join(map(as_word, value))}]"
    return str(value)
