"""Imports point one way, downwards, and the configuration ends at the door."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the bottom up; packages on one line are siblings that do not know each other.
LAYERS = (
    ("version",),
    (
        "boxes",
        "atomic_write",
        "user_path",
        "run_marker",
        "precision",
        "earlier_versions",
        "machine",
        "damage",
        "declared_sizes",
        "torch_file",
        "load_weights",
    ),
    ("blank_weights", "build", "safetensors_file"),
    ("structures", "checkpoint"),
    ("ops",),
    ("data", "model", "evaluation", "shapes", "visualization"),
    ("weights",),
    ("inference",),
    ("writers", "report"),
    ("engine", "serving"),
    ("classification",),
    ("localization",),
    ("cli",),
    ("benchmarks",),
    ("training", "detector_module"),
    ("detection",),  # the names for programs, imported when they are used
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> set[str]:
    """Everything that a file imports, wherever in it, dotted to the last name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = {module_name(path): path for path in (ROOT / "detection").rglob("*.py")}


def imported_modules(name: str) -> set[str]:
    """The modules of the package that module ``name`` imports."""
    found = set()
    for imported in imported_names(FILES[name]):
        owner = imported.rpartition(".")[0]
        if imported in FILES:
            found.add(imported)
        elif owner in FILES:
            found.add(owner)
    return found - {name}


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def is_allowed(importer: str, imported: str) -> bool:
    own, other = layer(importer), layer(imported)
    return own == other or RANK[other] < RANK[own]


def test_every_module_has_its_place_in_the_layers() -> None:
    assert {layer(name) for name in FILES} <= set(RANK)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_downwards(name: str) -> None:
    wrong = sorted(m for m in imported_modules(name) if not is_allowed(name, m))
    assert not wrong, f"{name} may not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("detection.model.proposals", "detection.boxes", True),
        ("detection.model.proposals", "detection.ops.nms", True),
        ("detection.model.rpn", "detection.model.targets", True),
        ("detection.engine.train", "detection.model.rpn", True),
        ("detection.classification.cifar", "detection.model.resnet", True),
        ("detection.classification.loader", "detection.data.loader", True),
        ("detection.engine.train", "detection.classification.classifier", False),
        ("detection.engine.train", "detection.cli.launch", False),
        ("detection.model.rpn", "detection.data.loader", False),
        ("detection.boxes", "detection.structures", False),
        ("detection.ops.nms", "detection.model.rpn", False),
        ("detection.inference.detector", "detection.engine.train", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed


def test_there_are_no_import_cycles() -> None:
    sorter = graphlib.TopologicalSorter({name: imported_modules(name) for name in FILES})
    sorter.prepare()  # raises CycleError and names the cycle


def test_the_graph_of_imports_is_seen_at_all() -> None:
    # If nothing were found, the tests above could not fail.
    assert "detection.boxes" in imported_modules("detection.model.proposals")
    assert "detection.ops.nms" in imported_modules("detection.model.proposals")


@pytest.mark.parametrize(
    "name", sorted(name for name in FILES if layer(name) not in ("cli", "benchmarks"))
)
def test_the_configuration_ends_at_the_door(name: str) -> None:
    packages = {imported.split(".")[0] for imported in imported_names(FILES[name])}
    assert not packages & {"hydra", "omegaconf", "tools"}


# A file is one noun.  What is longer than this holds two of them, but for kernels and tables.
LONGEST = 250
LONGER = {
    "detection/data/formats/imagenet_det_classes.py",  # a table
}


@pytest.mark.parametrize("package", ["detection", "tools", "datasets", "examples"])
def test_a_file_is_short_enough_to_be_read_at_once(package: str) -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")]
    assert files
    lines = {file: len((ROOT / file).read_text().splitlines()) for file in files}
    assert not {file: n for file, n in lines.items() if n > LONGEST and file not in LONGER}
