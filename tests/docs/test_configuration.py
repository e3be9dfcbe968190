"""docs/configuration.md says what the files in configs/ say."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "configs").rglob("*.yaml"))


SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "generate_configuration.py")))


def test_the_page_is_up_to_date() -> None:
    assert SCRIPT.PAGE.read_text() == SCRIPT.page(), "run python docs/generate_configuration.py"


def test_the_presets_of_imported_weights_are_up_to_date() -> None:
    assert SCRIPT.PRESETS.read_text() == SCRIPT.presets(), (
        "run python docs/generate_configuration.py"
    )


def keys(node: DictConfig, prefix: str = "") -> list[str]:
    """Of a file's mapping, as they are written on the command line."""
    found = []
    for key in node:
        found.append(f"{prefix}{key}")
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none():
            found += keys(value, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_text_is_read_as_yaml_reads_it(path: Path) -> None:
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    loaded.pop("defaults", None)
    rows = {row.key: row.default for row in SCRIPT.read(path).rows}
    in_braces = tuple(f"{key}." for key, default in rows.items() if default.startswith("{"))
    assert [key for key in keys(loaded) if not key.startswith(in_braces)] == list(rows)


def test_a_comment_belongs_to_its_line_or_to_the_next_key(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "# @package _global_\n"
        "# The file.\n"
        "defaults:\n"
        "  - base\n"
        "  - override group: name\n"
        "  - _self_\n"
        "\n"
        "first: 1 # one\n"
        "# above\n"
        "outer:\n"
        "  inner: [1, 2] # two\n"
        "listed: # items\n"
        "  - a=#b\n"
    )
    found = SCRIPT.read(path)
    assert found.header == ["The file."]
    assert found.package == "_global_"
    assert SCRIPT.starts_from(found.defaults) == "Starts from `base`, `group=name`."
    assert [(row.key, row.default, row.comment) for row in found.rows] == [
        ("first", "1", "one"),
        ("outer", "", "above"),
        ("outer.inner", "[1, 2]", "two"),
        ("listed", "[a=#b]", "items"),
    ]
