"""The table of published weights agrees with itself, with torchvision and with the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision.models import get_model_weights

from detection.model.resnet import BLOCKS
from detection.weights.published import PUBLISHED, nearest

ROOT = Path(__file__).resolve().parents[2]
TORCHVISION = [name for name in PUBLISHED if name.startswith("torchvision")]


def test_each_file_has_its_own_name() -> None:
    # A mirror is a folder of them.
    names = [row.file().name for row in PUBLISHED.values()]
    assert len(set(names)) == len(names)
    assert all(row.file().address.startswith("https://") for row in PUBLISHED.values())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_rows_are_what_torchvision_says(name: str) -> None:
    row = PUBLISHED[name]
    version = name.rpartition("_v")[2]
    weights = get_model_weights(f"resnet{row.depth}")[f"IMAGENET1K_V{version}"]
    file = row.file()
    assert file.address == weights.url
    assert file.name == f"resnet{row.depth}-{file.digest}.pth"
    assert file.algorithm == "sha256"
    assert len(file.digest or "") == 8
    assert row.result == f"top-1 {weights.meta['_metrics']['ImageNet-1K']['acc@1']:.1f} %"


def test_all_of_torchvisions_resnets_of_the_paper_have_a_name() -> None:
    there = {
        f"torchvision_r{depth}_v{weights.name[-1]}"
        for depth in BLOCKS
        for weights in get_model_weights(f"resnet{depth}")
    }
    assert set(TORCHVISION) == there


@pytest.mark.parametrize("name", PUBLISHED)
def test_detectron2s_names_end_in_their_hash(name: str) -> None:
    file = PUBLISHED[name].file()
    if "model_final" in file.name:
        assert file.name == f"model_final_{file.digest}.pkl"
        assert file.checked_by == f"md5 {file.digest}..."
    if name.startswith("msra"):
        assert file.checked_by == "length and contents"


def test_a_typing_error_names_the_nearest() -> None:
    assert nearest("coco_r101c4").startswith("did you mean coco_r101_c4")
    assert nearest("msra50") == "did you mean msra_r50 or msra_r101?"
    assert nearest("resnet152") == "did you mean torchvision_r152_v1 or torchvision_r152_v2?"
    assert nearest("xyz") == f"the names are {', '.join(PUBLISHED)}"


def test_the_page_has_each_row() -> None:
    page = (ROOT / "docs" / "weights.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and "AP" in line]
    lines = page.splitlines()
    for row in PUBLISHED.values():
        line = f"| `{row.name}` | {row.what} | {row.result} | {row.licence} |"
        assert line in lines
    assert rows
