"""The folders that the YAML files are in: the package's configs/, and in front of it one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from detection.cli.group_choices import is_for

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel holds configs/ inside the package.  In the repository, and so in an editable install, it
# stands beside the package.
_INSIDE, _BESIDE = _PACKAGE / "configs", _PACKAGE.parent / "configs"
CONFIGS = _INSIDE if _INSIDE.is_dir() else _BESIDE

# Set while a command runs: some compose further configurations, as compare does for its rows.
_OWN: ContextVar[Path | None] = ContextVar("own folder of configurations", default=None)


@contextmanager
def searched_first(folder: Path | None) -> Iterator[None]:
    """Within it, a file of ``folder`` is found before the one of the same name in CONFIGS.

    Raises FileNotFoundError if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"--config-dir {folder}: no such folder")
    token = _OWN.set(None if folder is None else folder.resolve())
    try:
        yield
    finally:
        _OWN.reset(token)


class _OwnFolder(SearchPathPlugin):
    """Tells Hydra."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        own = _OWN.get()
        if own is not None:
            search_path.prepend(provider="--config-dir", path=f"file://{own}")


Plugins.instance().register(_OwnFolder)


def is_group(name: str) -> bool:
    """Whether a folder of YAML files has this name."""
    return any((root / name).is_dir() for root in _roots())


def groups_of(config: str) -> dict[str, list[str]]:
    """The groups that configs/<config>.yaml chooses a file of, those within them, and the files.

    Files that this command cannot use are left out.
    """
    own = _OWN.get()
    return {
        group: [n for n in names if is_for(config, group, n) or _is_in(own, group, n)]
        for group, names in all_groups_of(config).items()
    }


def _is_in(folder: Path | None, group: str, name: str) -> bool:
    return folder is not None and (folder / group / f"{name}.yaml").is_file()


def all_groups_of(config: str) -> dict[str, list[str]]:
    """``groups_of`` with all files."""
    names: list[str] = []
    found: dict[str, list[str]] = {}
    for entry in _load(config).get("defaults", []):
        if isinstance(entry, DictConfig):
            names += [str(key).split()[-1] for key in entry]
        elif entry != "_self_":
            found |= all_groups_of(entry)
    for name in names:
        found[name] = _files(name, deep=name == "experiment")
        if name != "experiment":
            folders = [folder for root in _roots() for folder in (root / name).glob("*/")]
            within = {f"{name}/{folder.name}" for folder in folders if folder.is_dir()}
            found |= {group: _files(group, deep=False) for group in within}
    return dict(sorted(found.items()))


def top_level_keys(config: str) -> set[str]:
    """The first parts of the keys and groups of configs/<config>.yaml."""
    content = _load(config)
    found = {str(key) for key in content} - {"defaults"}
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            found |= top_level_keys(entry)
    return found | {group.partition("/")[0] for group in all_groups_of(config)}


def _roots() -> list[Path]:
    own = _OWN.get()
    return [CONFIGS] if own is None else [own, CONFIGS]


def _load(config: str) -> DictConfig:
    candidates = [root / f"{config}.yaml" for root in _roots()]
    content = OmegaConf.load(next((c for c in candidates if c.is_file()), candidates[-1]))
    assert isinstance(content, DictConfig)
    return content


def _files(group: str, *, deep: bool) -> list[str]:
    """The names of a group's files; ``deep``: those in its subfolders too."""
    pattern = "**/*.yaml" if deep else "*.yaml"
    folders = [root / group for root in _roots()]
    return sorted(
        {
            file.relative_to(folder).with_suffix("").as_posix()
            for folder in folders
            for file in folder.glob(pattern)
        }
    )
