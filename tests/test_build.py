"""Objects out of configurations: what is trusted is built, everything else is refused by name."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detection.build import build, packages_of
from detection.data.transforms import Resize
from detection.model.frozen_bn import ConvBN

CONV: dict[str, Any] = {
    "_target_": "detection.model.frozen_bn.ConvBN",
    "in_channels": 3,
    "out_channels": 4,
    "kernel_size": 1,
    "norm": "frozen",
}
RESIZE = {
    "_target_": "detection.data.transforms.Resize",
    "shorter_sides": [600],
    "longest": 1000,
}
FOREIGN = {"_target_": "someones_package.steps.Step", "width": 3}


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody else's; importing it leaves a file, which is returned."""
    folder = tmp_path / "someones_package"
    folder.mkdir()
    marker = tmp_path / "was_imported"
    (folder / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    (folder / "steps.py").write_text(
        "from pathlib import Path\n\n\nclass Step:\n"
        "    def __init__(self, *, width: int) -> None:\n        self.width = width\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield marker
    for name in [name for name in sys.modules if name.startswith("someones_package")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.list",
        "detectionx.model.resnet.ResNet",
        "detection",
        "torch.nn.Linear",
        # Imported by a module of ours, but not ours: both could touch files.
        "detection.data.formats.voc.Path",
        "detection.data.loader.DataLoader",
        # A function and not a class.
        "detection.load_weights.load_weights",
        # Of a version that is not this one.
        "detection.model.resnet.ResNeXt",
        "detection.no_such_module.Model",
    ],
)
def test_only_classes_of_this_package_are_built(name: str) -> None:
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        build({"_target_": name})


def test_targets_are_checked_at_every_depth() -> None:
    with pytest.raises(ValueError, match=r"os\.system"):
        build(CONV | {"stride": [{"deep": {"_target_": "os.system", "command": "true"}}]})


def test_build_reads_nested_lists_partials_and_plain_values() -> None:
    built = build({"a": [1, RESIZE, "text", None], "b": CONV | {"_partial_": True}})
    assert built["a"] == [1, Resize(shorter_sides=[600], longest=1000), "text", None]
    assert isinstance(built["b"], functools.partial)
    assert isinstance(built["b"](), ConvBN)


def test_a_package_that_nobody_trusts_is_not_even_imported(foreign: Path) -> None:
    with pytest.raises(
        ValueError, match=r"add trust=\[someones_package\], or set .*DETECTION_TRUST"
    ):
        build({"deep": [FOREIGN]})
    assert not foreign.exists()


def test_a_package_that_is_trusted_is_built_from(foreign: Path) -> None:
    assert build({"deep": [FOREIGN]}, trust=["someones_package"])["deep"][0].width == 3
    assert foreign.exists()


def test_the_environment_can_trust_too(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTION_TRUST", "another, someones_package")
    assert build(FOREIGN).width == 3


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("someones_package_2.Step", "trust"),  # a name that only begins alike
        ("someones_package.steps.Path", r"which is pathlib.*define"),  # imported, not defined there
        ("someones_package.nowhere.Step", "install the package, or mend the name"),
        ("someones_package.steps.Missing", "install the package, or mend the name"),
        ("os.system", "trust"),
    ],
)
def test_trust_in_a_package_is_trust_in_its_own_classes_alone(
    foreign: Path, target: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build({"_target_": target}, trust=["someones_package"])


def test_arguments_that_a_class_does_not_take_are_named_with_their_source() -> None:
    with pytest.raises(
        ValueError, match=r"ConvBN does not take what the configuration gives.*depth"
    ):
        build(CONV | {"depth": 3}, source="the configuration")


def test_the_packages_of_a_configuration() -> None:
    assert packages_of({"a": [RESIZE, {"b": FOREIGN}], "c": 3}) == {"someones_package"}
    assert packages_of(CONV) == set()
