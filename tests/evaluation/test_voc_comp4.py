"""Comp4 files: the round trip, the format to the letter, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation.detections_file import read_detections
from detection.evaluation.voc_comp4 import read_voc_detections, write_voc_detections

TRUTH: dict[str, Any] = {
    "images": [
        {"id": 30, "file_name": "photos/000007.jpg"},
        {"id": 20, "file_name": "photos/my dog.v2.png"},
    ],
    "annotations": [],
    "categories": [{"id": 8, "name": "light"}, {"id": 3, "name": "traffic_light"}],
}
DETECTIONS: list[dict[str, Any]] = [
    {"image_id": 30, "category_id": 8, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.5},
    {"image_id": 20, "category_id": 8, "bbox": [10.25, 20.5, 30.0, 40.125], "score": 1e-7},
    {"image_id": 20, "category_id": 3, "bbox": [5.0, 6.0, 0.0, 8.0], "score": 0.75},
]


def write(folder: Path, text: str, name: str = "comp4_det_test_light.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_comp4_to_the_letter(tmp_path: Path):
    # The first pixel is (0, 0, 1, 1) with continuous edges and 1 1 1 1 in VOC's inclusive ones.
    first, second = write_voc_detections(DETECTIONS, TRUTH, tmp_path / "results", "my_test")
    assert first.name == "comp4_det_my_test_traffic_light.txt"
    assert first.read_text() == "my dog.v2 0.75 6.000000 7.000000 5.000000 14.000000\n"
    assert second.name == "comp4_det_my_test_light.txt"
    assert second.read_text() == (
        "000007 0.5 1.000000 1.000000 1.000000 1.000000\n"
        "my dog.v2 1e-07 11.250000 21.500000 40.250000 60.625000\n"
    )


def test_comp4_round_trip(tmp_path: Path):
    write_voc_detections(DETECTIONS, TRUTH, tmp_path, "test")
    assert read_detections(tmp_path, TRUTH) == DETECTIONS  # the classes in order of their files


def test_comp4_class_without_detections_has_an_empty_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    written = write_voc_detections([], TRUTH, tmp_path, "test")
    assert [path.read_text() for path in written] == ["", ""]
    assert read_voc_detections(tmp_path, TRUTH) == []
    assert not caplog.records


def test_comp4_class_without_file_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, "000007 0.5 1 1 1 1\n\n")
    with caplog.at_level(logging.WARNING):
        assert read_voc_detections(tmp_path, TRUTH) == DETECTIONS[:1]
    assert "no detections, for traffic_light" in caplog.text


def test_comp4_empty_box_turned_inside_out_by_rounding_is_empty(tmp_path: Path):
    # Width 9.29999 - 10.3 + 1 = -0.00001 pixels.
    write(tmp_path, "000007 0.5 10.3 1 9.29999 1\n")
    (read,) = read_voc_detections(tmp_path, TRUTH)
    assert read["bbox"] == pytest.approx([9.3, 0, 0, 1])
    assert read["bbox"][2] == 0.0


@settings(deadline=None)
@given(
    st.lists(st.integers(-(10**9), 10**9).map(lambda n: n / 10**6), min_size=4, max_size=4),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_comp4_keeps_six_decimals_and_float32_scores(
    tmp_path_factory: pytest.TempPathFactory, box: list[float], score: float
):
    box[2:] = map(abs, box[2:])
    folder = tmp_path_factory.mktemp("comp4")
    detection = {"image_id": 20, "category_id": 3, "bbox": box, "score": score}
    write_voc_detections([detection], TRUTH, folder, "test")
    (read,) = read_voc_detections(folder, TRUTH)
    assert read["bbox"] == pytest.approx(box, abs=1.1e-6)  # both corners are rounded
    assert read["score"] == pytest.approx(score, rel=5e-9)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000008 0.5 1 1 1 1", r"light.txt:2: image '000008' is none of the ground truth's 2"),
        ("0.5 1 1 1 1", "light.txt:2: a line is 'image score xmin ymin xmax ymax', this one is"),
        ("000007 0.5 1 1 1", "light.txt:2: a line is"),
        ("000007 0.5 1 1 1 x", "light.txt:2: a line is .*1 1 1 x"),
        ("000007 nan 1 1 1 1", "light.txt:2: score and corners must be finite"),
        ("000007 0.5 1 1 inf 1", "light.txt:2: score and corners must be finite"),
        ("000007 0.5 9 1 7 1", "light.txt:2: .*xmax >= xmin"),
        ("000007 0.5 1 9 1 7", "light.txt:2: .*ymax >= ymin"),
    ],
)
def test_comp4_wrong_line(tmp_path: Path, line: str, message: str):
    write(tmp_path, f"000007 0.5 1 1 1 1\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_voc_detections(tmp_path, TRUTH)


def test_comp4_wrong_lines_are_left_out_of_real_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    wrong = "".join(f"000007 0.{i} 9 1 7 9\n" for i in range(12))
    write(tmp_path, f"000007 0.5 1 1 1 1\n{wrong}000007 0.25 1 1 2 2\n")
    with pytest.raises(ValueError, match=r"12 of 14 lines(.|\n)*and 2 more(.|\n)*=repair"):
        read_voc_detections(tmp_path, TRUTH)
    with caplog.at_level("WARNING"):
        read = read_voc_detections(tmp_path, TRUTH, repair=True)
    assert [record["score"] for record in read] == [0.5, 0.25]
    assert "12 of 14 lines are no detections" in caplog.text


def test_comp4_unknown_class(tmp_path: Path):
    write(tmp_path, "", "comp4_det_test_cat.txt")
    with pytest.raises(ValueError, match=r"test_cat\.txt: the file name must end with _<class>"):
        read_voc_detections(tmp_path, TRUTH)


def test_comp4_two_image_sets(tmp_path: Path):
    write(tmp_path, "", "comp4_det_test_light.txt")
    write(tmp_path, "", "comp4_det_val_light.txt")
    with pytest.raises(ValueError, match="class 'light' has a second file"):
        read_voc_detections(tmp_path, TRUTH)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("comp3_det_test_light.txt", "000007 0.5 1 1 1 1\n"),
        ("comp4_04d4-2eb7-49c9_det_test_light.txt", "000007 0.5 1 1 1 1\n"),
        ("det_test_light.txt", "000007 0.5 1 1 1 1\n"),
        ("light.txt", "000007 0.5 1 1 1 1\n"),
        ("comp4_det_test_light.txt", "\ufeff000007\t0.5\t1\t1\t1\t1\r\n"),
        ("comp4_det_test_light.txt", "000007.jpg 0.5 1 1 1 1\n"),
    ],
)
def test_comp4_files_of_other_names_and_forms(tmp_path: Path, file: str, line: str):
    write(tmp_path, line, file)
    (tmp_path / "readme.txt").write_text("of another program")
    (read,) = read_voc_detections(tmp_path, TRUTH)
    assert (read["bbox"], read["score"]) == (pytest.approx([0, 0, 1, 1]), 0.5)


def test_comp4_says_what_else_is_there(tmp_path: Path):
    write(tmp_path, "", "results.txt")
    with pytest.raises(ValueError, match=r"there is no comp4_det.*there are results\.txt"):
        read_voc_detections(tmp_path, TRUTH)


def test_comp4_empty_folder(tmp_path: Path):
    with pytest.raises(ValueError, match="there is no comp4_det"):
        read_voc_detections(tmp_path, TRUTH)


def test_comp4_ambiguous_image_name(tmp_path: Path):
    images = [{"id": 1, "file_name": "a/1.jpg"}, {"id": 2, "file_name": "b/1.png"}]
    with pytest.raises(ValueError, match=r"images\[1\]: the name '1' of 'b/1.png'"):
        write_voc_detections([], {**TRUTH, "images": images}, tmp_path, "test")


@pytest.mark.parametrize("name", ["a/b", "a\\b"])
def test_comp4_class_name_that_is_a_path(tmp_path: Path, name: str):
    truth = {**TRUTH, "categories": [{"id": 3, "name": name}]}
    with pytest.raises(ValueError, match="cannot be part of a file name"):
        write_voc_detections([], truth, tmp_path / "results", "test")
    assert not (tmp_path / "results").exists()
