"""report.html at the end of a run: written, opened where asked, and never the end of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.engine import report_file
from detection.engine.evaluate import measure
from detection.engine.report_file import common_facts, read_runs, write_report_file
from detection.report.content import Report
from detection.report.measure import Measured


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    box = np.array([[1.0, 2.0, 30.0, 40.0]])
    example = Example(
        image_id=1, path=tmp_path / "gone.jpg", size=(100, 100), boxes=box.astype(np.float32),
        labels=np.array([1]), crowd=np.zeros(1, bool), difficult=np.zeros(1, bool), annotated=box,
        areas=np.array([1200.0]),
    )  # fmt: skip
    dataset = DetectionDataset(("cat",), (1,), [example], tmp_path)
    found = [{"image_id": 1, "category_id": 1, "bbox": box[0].tolist(), "score": 0.5}]
    scores = measure(dataset.to_coco(), found, backend="hotcoco")
    return Measured(
        title="t", dataset=dataset, split="val", detections=found, coco=scores.coco, voc=scores.voc
    )


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """The reports of which pages were made."""
    reports: list[Report] = []

    def write_report(path: Path, report: Report) -> None:
        path.write_text("page")
        reports.append(report)

    monkeypatch.setattr(report_file, "write_report", write_report)
    return reports


def test_it_is_written_without_the_pictures(
    measured: Measured, tmp_path: Path, pages: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    write_report_file(measured, tmp_path)
    assert (tmp_path / "report.html").read_text() == "page"
    assert pages[0].numbers["AP50"].value == pytest.approx(1)
    assert "could not be read" in pages[0].notes[0]
    assert not opened
    write_report_file(measured, tmp_path, opened=True)
    assert opened == [(tmp_path / "report.html").as_uri()]


def test_a_report_that_fails_is_a_warning_and_no_old_one_stays(
    measured: Measured,
    tmp_path: Path,
    pages: list[Report],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(measured: Any) -> None:
        raise KeyError("score")

    (tmp_path / "report.html").write_text("of the run before")
    monkeypatch.setattr(report_file, "measure_report", fail)
    write_report_file(measured, tmp_path, opened=True)
    assert "report.html is not written: KeyError: 'score'" in caplog.text
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("seconds", "said"), [(11.7434, "12"), (0.05849, "0.058"), (123.4, "123"), (3.96, "4")]
)
def test_nobody_needs_more_than_two_digits_of_a_time(seconds: float, said: str) -> None:
    facts = common_facts(seconds_per_image=seconds, device="cpu")
    assert facts["seconds per picture"] == said
    assert facts["device"] == "cpu"


def test_runs_of_one_name_are_told_apart_by_their_paths(measured: Measured, tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "test", tmp_path / "b" / "test", tmp_path / "c"]
    for path in paths:
        path.mkdir(parents=True)
        (path / "detections.json").write_text("[]")
    names = [run.name for run in read_runs(paths, measured.dataset.to_coco())]
    assert names == [str(paths[0]), str(paths[1]), "c"]
