"""Which pictures are shown, and what findings are about."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.report.choose_pictures import choose_pictures
from detection.report.measure_data import Look, measure_data
from detection.report.reader_findings import NamedPictures, SplitFindings
from detection.report.shown_boxes import size_of


def test_every_class_is_seen_however_rare() -> None:
    classes = [["common"]] * 500 + [["rare", "common"]] + [[]] * 20
    for seed in range(5):
        chosen = choose_pictures(classes, 6, seed=seed)
        assert len(chosen) == len(set(chosen)) == 6
        assert chosen == sorted(chosen)
        assert 500 in chosen
        assert any(number > 500 for number in chosen)
        assert chosen == choose_pictures(classes, 6, seed=seed)
    assert choose_pictures(classes, 6, seed=0) != choose_pictures(classes, 6, seed=1)


def test_some_of_those_with_findings_are_among_them() -> None:
    classes = [["one"]] * 100
    chosen = choose_pictures(classes, 8, seed=0, found=range(90, 100))
    assert sum(number >= 90 for number in chosen) >= 2
    assert len(chosen) == 8
    assert choose_pictures(classes, None, seed=0) == [*range(100)]
    assert choose_pictures(classes, 100, seed=0) == [*range(100)]


def example(path: Path) -> Example:
    nothing = np.zeros((0, 4))
    return Example(image_id=1, path=path, size=(30, 40), boxes=nothing.astype(np.float32),
                   labels=np.zeros(0, np.int64), crowd=np.zeros(0, bool),
                   difficult=np.zeros(0, bool), annotated=nothing, areas=np.zeros(0))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("labels/1.txt: line 3: no number", [0]),
        ("Annotations/11.xml: box 2 has no area", [1]),
        ("'a b.jpg': category 7 is not listed", [2]),
        ("/data/rf.jpg.3ac3.jpg", [3]),
        ("the class is 'name', not 1", []),
    ],
)
def test_the_picture_that_a_finding_is_about(text: str, numbers: list[int]) -> None:
    names = ["1.jpg", "11.png", "a b.jpg", "rf.jpg.3ac3.jpg"]
    assert NamedPictures([example(Path("x") / name) for name in names])(text) == numbers


def test_cocos_borders() -> None:
    assert [size_of(area) for area in (0, 1023.9, 1024, 9215, 9216)] == [
        *("small", "small", "medium", "medium", "large")
    ]


def test_the_page_is_bounded_and_damaged_pictures_are_findings(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    examples = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), noise)
        examples.append(example(path))
    (tmp_path / "3.png").write_bytes(b"no picture")
    dataset = DetectionDataset(("a",), (1,), examples, tmp_path)
    for characters, fewest in ((40_000, 1), (2_000_000, 11)):
        look = Look(most=None, seed=1, ignore_crowd=True, ignore_difficult=True,
                    characters=characters)  # fmt: skip
        page = measure_data("t", {}, [SplitFindings("train", dataset, [])], look)
        assert sum(len(picture.jpeg) for picture in page.pictures) <= characters
        assert len(page.pictures) >= fewest
        (finding,) = page.findings
        assert finding.is_refused
        assert str(tmp_path / "3.png") in finding.places[0].text
        assert finding.places[0].picture is None
