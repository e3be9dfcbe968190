"""The folders that the YAML files are in: the package's configs/, and in front of it one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel holds configs/ inside the package.  In the repository, and so in an editable install, it
# stands beside the package.
_INSIDE, _BESIDE = _PACKAGE / "configs", _PACKAGE.parent / "configs"
CONFIGS = _INSIDE if _INSIDE.is_dir() else _BESIDE

# Set while a command runs: some compose further configurations, as compare does for its rows.
_OWN: ContextVar[tuple[Path, ...]] = ContextVar("own folders of configurations", default=())


@contextmanager
def searched_first(folder: Path | None) -> Iterator[None]:
    """Within it, a file of ``folder`` is found before one of the same name elsewhere.

    Raises FileNotFoundError if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"--config-dir {folder}: no such folder")
    token = _OWN.set((*([folder.resolve()] if folder else []), *_OWN.get()))
    try:
        yield
    finally:
        _OWN.reset(token)


def find_file(name: str) -> Path | None:
    """The YAML file of a name such as runtime/fast, if there is one."""
    paths = [root / f"{name}.yaml" for root in roots()]
    return next((path for path in paths if path.is_file()), None)


def roots() -> list[Path]:
    """The folders, in the order in which they are searched."""
    return [*own_folders(), CONFIGS]


def own_folders() -> tuple[Path, ...]:
    """Those that are searched first."""
    return _OWN.get()
