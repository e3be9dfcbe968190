"""What may be written, and removed, where results are already."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from detection.engine.folder_lock import LOCK, locked, read_marker
from detection.engine.output_folder import OutputFolder, training_folder
from detection.run_marker import MARKER


def content(folder: Path) -> dict[str, bytes]:
    """Everything in the folder but the lock and the marker."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (LOCK, MARKER)
    }


def detect(path: Path, *names: str, **settings: object) -> OutputFolder:
    return OutputFolder(
        path=path,
        command="detect",
        files=("detections.json", *(f"drawn/{name}" for name in names)),
        settings=dict(settings) or None,
    )


def fill(output: OutputFolder, text: str = "ours", **how: bool) -> None:
    with output.taken(**how):
        for name in output.files:
            (output.path / name).parent.mkdir(parents=True, exist_ok=True)
            (output.path / name).write_text(text)


def test_a_folder_with_results_is_refused_gone_on_with_or_replaced(tmp_path: Path) -> None:
    fill(detect(tmp_path, "a.png", "b.png"))
    for other in (detect(tmp_path, "a.png"), training_folder(tmp_path, command="t", reads=())):
        before = content(tmp_path)
        with pytest.raises(ValueError, match=r"holds the results of a run .*overwrite=true"):
            fill(other)
        assert content(tmp_path) == before
    with detect(tmp_path, "a.png").taken(resume=True) as begun:
        assert begun
    fill(detect(tmp_path, "c.png"), overwrite=True)
    assert content(tmp_path) == {"detections.json": b"ours", "drawn/c.png": b"ours"}


def test_only_what_the_project_wrote_is_removed(tmp_path: Path) -> None:
    fill(detect(tmp_path, "a.png"))
    mine = {"drawn/wedding.jpg": b"1", "notes.txt": b"2", "drawn/more/b.png": b"3"}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    with training_folder(tmp_path, command="train", reads=()).taken(overwrite=True):
        assert content(tmp_path) == mine


def test_a_file_of_the_users_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"holds config\.yaml, which no run of ours wrote"):
            fill(training_folder(tmp_path, command="train", reads=()), overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml"}


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "metrics.json", "log.jsonl"])
@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_without_a_marker_is_another_programs(
    tmp_path: Path, name: str, how: dict[str, bool]
) -> None:
    for file in (name, "wedding.jpg"):
        (tmp_path / file).write_text("before")
    with pytest.raises(ValueError, match=rf"holds {name}, which no run of ours wrote"):
        fill(training_folder(tmp_path, command="train", reads=()), **how)
    before = {name: b"before", "wedding.jpg": b"before"}
    assert content(tmp_path) == before
    with detect(tmp_path).taken(overwrite=how == {"overwrite": True}):  # whose files are others
        assert content(tmp_path) == before


def test_runs_inside_without_a_marker_are_another_programs(tmp_path: Path) -> None:
    outer = OutputFolder(path=tmp_path, command="demo", files=("summary.html",), runs=("detector",))
    fill(outer)
    (tmp_path / "detector").mkdir()
    (tmp_path / "detector" / "best.pt").write_text("mine")
    with outer.taken(overwrite=True):
        assert content(tmp_path) == {"detector/best.pt": b"mine"}
        with pytest.raises(ValueError, match=r"holds best\.pt, which no run of ours"):
            fill(training_folder(tmp_path / "detector", command="train", reads=()), overwrite=True)


def test_what_a_run_reads_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    photo = tmp_path / "drawn" / "a.png"
    photo.parent.mkdir()
    photo.write_text("the only one")
    output = OutputFolder(
        path=tmp_path, command="detect", files=("drawn/a.png",), reads=[tmp_path / "drawn/./a.png"]
    )
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is read by this run"):
            fill(output, overwrite=overwrite)
    assert photo.read_text() == "the only one"
    fill(training_folder(tmp_path / "run", command="train", reads=()))
    best = tmp_path / "run" / "best.pt"
    test = OutputFolder(path=tmp_path / "run", command="test", files=("m.json",), reads=[best])
    with pytest.raises(ValueError, match="is read by this run"):
        fill(test, overwrite=True)
    assert best.is_file()


def test_the_results_of_commands_inside_are_replaced_with_the_folder(tmp_path: Path) -> None:
    outer = OutputFolder(path=tmp_path, command="demo", files=("summary.html",), runs=("detected",))
    with outer.taken():
        fill(detect(tmp_path / "detected", "a.png"))
    (tmp_path / "detected" / "drawn" / "wedding.jpg").write_text("mine")
    with pytest.raises(ValueError, match="holds the results of a run"):
        fill(outer)
    with outer.taken(overwrite=True):
        assert content(tmp_path) == {"detected/drawn/wedding.jpg": b"mine"}


def test_a_run_goes_on_with_its_own_kind_and_settings_alone(tmp_path: Path) -> None:
    fill(detect(tmp_path, score_threshold=0.5))
    with pytest.raises(ValueError, match="holds a run of detect"):
        fill(training_folder(tmp_path, command="train_net", reads=()), resume=True)
    with pytest.raises(ValueError, match=r"another score_threshold \(score_threshold: 0.5, now 0"):
        fill(detect(tmp_path, score_threshold=0.1), resume=True)
    with pytest.raises(ValueError, match="give one"):
        fill(detect(tmp_path), resume=True, overwrite=True)


def test_a_marker_from_elsewhere_removes_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "inside.txt").write_text("mine")
    wrong = ["../outside.txt", str(tmp_path / "outside.txt"), "a/../../outside.txt", 5]
    marker = {"files": wrong, "patterns": ["../*", "**/*", "/*"], "runs": [".."]}
    (run / MARKER).write_text(json.dumps(marker))
    with detect(run).taken(overwrite=True):
        assert (tmp_path / "outside.txt").read_text() == "mine"
        assert (run / "inside.txt").read_text() == "mine"


def test_the_marker_says_how_a_run_has_ended(tmp_path: Path) -> None:
    with detect(tmp_path).taken():
        assert (read_marker(tmp_path) or {})["state"] == "running"
    assert (read_marker(tmp_path) or {})["state"] == "finished"
    with pytest.raises(KeyboardInterrupt), detect(tmp_path).taken(resume=True):
        raise KeyboardInterrupt
    assert (read_marker(tmp_path) or {})["state"] == "interrupted"
    (tmp_path / MARKER).write_text("{")
    with pytest.raises(ValueError, match="is damaged: remove it"):
        fill(detect(tmp_path), resume=True)


def test_leftovers_of_killed_runs_are_removed_and_files_like_them_are_not(tmp_path: Path) -> None:
    fill(detect(tmp_path))
    left = [".last.pt.0123456789abcdef.partial", "last.pt.partial"]
    for name in [*left, "thesis.partial", ".notes.partial"]:
        (tmp_path / name).write_text("half")
    with detect(tmp_path).taken(resume=True):
        assert content(tmp_path).keys() == {"detections.json", "thesis.partial", ".notes.partial"}


@pytest.mark.parametrize("run", ["", "1_rpn"])
def test_leftovers_of_the_worst_pictures_are_removed_too(tmp_path: Path, run: str) -> None:
    path = tmp_path / run / "worst" / ".1_a.jpg.0123456789abcdef.partial"
    folder = replace(training_folder(tmp_path, command="t", reads=()), runs=("1_rpn",))
    fill(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    with folder.taken(resume=True):
        assert not path.exists()


def hold(folder: Path, ready: object) -> None:
    with detect(folder).taken():
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another process that holds the folder."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_in_use_is_refused_with_the_others_name(
    tmp_path: Path, holder: multiprocessing.process.BaseProcess, how: dict[str, bool]
) -> None:
    expected = f"in use by process {holder.pid} on host {socket.gethostname()}"
    with pytest.raises(ValueError, match=expected):
        fill(detect(tmp_path), **how)
    assert (read_marker(tmp_path) or {})["process"] == holder.pid


def test_a_killed_run_does_not_hold_its_folder(
    tmp_path: Path, holder: multiprocessing.process.BaseProcess
) -> None:
    holder.kill()
    holder.join()
    with detect(tmp_path).taken(resume=True) as begun:
        assert begun
        assert (read_marker(tmp_path) or {})["process"] == os.getpid()


def test_a_lock_that_orphans_of_a_killed_run_hold_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with detect(tmp_path).taken():
        marker = read_marker(tmp_path) or {}
        # A process id that nobody has: the run's own process is gone, and its lock is not.
        (tmp_path / MARKER).write_text(json.dumps(marker | {"process": 2**22 + 1}))
        monkeypatch.setattr("detection.engine.folder_lock.SECONDS_FOR_ORPHANS", 0.3)
        with pytest.raises(ValueError, match="in use"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    with pytest.raises(FileNotFoundError), detect(folder).taken():
        raise FileNotFoundError("nowhere.pt: no such checkpoint")
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "deep").mkdir()
    with pytest.raises(FileNotFoundError), detect(folder).taken():
        raise FileNotFoundError("nowhere.pt: no such checkpoint")
    assert [path.name for path in tmp_path.rglob("*")] == ["deep"]

    def write_half() -> None:
        with detect(folder).taken():
            (folder / "detections.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert (folder / MARKER).is_file()
    assert content(folder) == {"detections.json": b"half"}
