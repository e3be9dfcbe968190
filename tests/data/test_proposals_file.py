"""Proposals on disk: what was written is read, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.proposals_file import (
    STEPS,
    ProposalsFile,
    ProposalsWriter,
    is_proposals_file,
)
from detection.structures import Proposals

COUNTS = (3, 0, 2)  # in b.jpg (80 x 60), a.jpg (40 x 50) and empty.jpg (30 x 30)


@pytest.fixture
def dataset(
    tmp_path: Path, coco: dict[str, Any], write_coco: Callable[..., Path]
) -> DetectionDataset:
    annotations = write_coco(tmp_path, coco)
    return read_coco(annotations=annotations, images=tmp_path / "train", invalid_boxes="error")


@pytest.fixture
def written(dataset: DetectionDataset, tmp_path: Path) -> tuple[Path, list[Proposals]]:
    """The file, and what was put into it, image after image."""
    writer = ProposalsWriter()
    contents = []
    for example, count in zip(dataset.examples, COUNTS, strict=True):
        height, width = example.size
        corners = torch.rand(count, 2, 2).sort(dim=1).values * torch.tensor([width, height])
        proposals = Proposals(corners.flatten(1), torch.linspace(2, -2, count))
        writer.add(example, proposals)
        contents.append(proposals)
    path = tmp_path / "proposals" / "train.safetensors"
    writer.save(path)
    return path, contents


def test_what_was_written_is_read(
    dataset: DetectionDataset, written: tuple[Path, list[Proposals]]
) -> None:
    path, contents = written
    file = ProposalsFile(path, dataset)
    for example, expected in zip(dataset.examples, contents, strict=True):
        found = file.read(example)
        # Half a step of 80 / 65535 pixels.
        assert found.boxes.shape == expected.boxes.shape
        torch.testing.assert_close(found.boxes, expected.boxes, atol=0.5 * 80 / STEPS, rtol=1e-5)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-3, rtol=0)
    assert [path.name for path in path.parent.iterdir()] == ["train.safetensors"]


def test_whoever_may_read_other_files_may_read_it(written: tuple[Path, list[Proposals]]) -> None:
    other = written[0].with_name("other")
    other.touch()
    assert written[0].stat().st_mode == other.stat().st_mode


def test_only_the_best_are_read_where_so_many_are_asked_for(
    dataset: DetectionDataset, written: tuple[Path, list[Proposals]]
) -> None:
    file, example = ProposalsFile(written[0], dataset), dataset.examples[0]
    assert torch.equal(file.read(example, 2).boxes, file.read(example).boxes[:2])
    assert len(file.read(example, 99).logits) == 3
    assert len(file.read(dataset.examples[2], 1).logits) == 1


def test_reading_and_writing_again_changes_nothing(
    dataset: DetectionDataset, written: tuple[Path, list[Proposals]], tmp_path: Path
) -> None:
    # So the shares of several processes can be joined.
    file, writer = ProposalsFile(written[0], dataset), ProposalsWriter()
    for example in dataset.examples:
        writer.add(example, file.read(example))
    writer.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == written[0].read_bytes()


def test_proposals_of_another_data_set_are_refused(
    dataset: DetectionDataset, written: tuple[Path, list[Proposals]]
) -> None:
    first, *others = dataset.examples
    renamed = replace(dataset, examples=[replace(first, path=Path("other.jpg")), *others])
    with pytest.raises(ValueError, match=r"'b.jpg' as image 42, .* 'other.jpg'.* another data set"):
        ProposalsFile(written[0], renamed)
    unknown = replace(dataset, examples=[replace(first, image_id=5)])
    with pytest.raises(ValueError, match="'nothing' as image 5"):
        ProposalsFile(written[0], unknown)
    assert ProposalsFile(written[0], replace(dataset, examples=others))  # a part of it is no other


def test_what_is_no_file_of_proposals_is_named(dataset: DetectionDataset, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"detection propose writes one"):
        ProposalsFile(tmp_path / "none.safetensors", dataset)
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a file of proposals"):
        ProposalsFile(tmp_path / "text.safetensors", dataset)


def test_what_is_no_file_of_proposals_is_seen(
    written: tuple[Path, list[Proposals]], tmp_path: Path
) -> None:
    assert is_proposals_file(written[0])
    save_file({"boxes": torch.zeros(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("text")
    for name in ("weights.safetensors", "text.safetensors", "."):
        assert not is_proposals_file(tmp_path / name)
