"""The commands, where there are files already and where pictures cannot be drawn."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.cli import demo, detect
from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.cli.launch import launch
from detection.engine import detection_run
from detection.engine.detections_log import DetectionsLog
from detection.structures import Detections
from detection.writers.writer import PictureRecord


def test_the_demo_keeps_a_wedding_picture(tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "wedding.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"the only one")
    for overwrite in ("false", "true"):
        config = compose_config("demo", [f"output_dir={tmp_path}", f"overwrite={overwrite}"])
        with pytest.raises(ValueError, match=r"photos/wedding\.jpg, .* choose another output_dir"):
            demo.main(config)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [photo]
    assert photo.read_bytes() == b"the only one"


class OneEach:
    """A detector that finds one object in each picture, and notes how many it has seen."""

    class_names = ("cat",)
    category_ids = (7,)

    def __init__(self) -> None:
        self.seen = 0

    def features(self, image: Any, boxes: Any, *, bgr: bool) -> torch.Tensor:
        return torch.zeros(len(boxes), 4)

    def detect_arrays(self, images: list[Any]) -> list[Detections]:
        self.seen += len(images)
        box = torch.tensor([[1.0, 2.0, 9.0, 8.0]])
        return [Detections(box, torch.tensor([0.9]), torch.tensor([1])) for _ in images]


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> OneEach:
    found = OneEach()
    monkeypatch.setattr(detect, "make_detector", lambda config, runtime: found)
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02d}.png"), np.full((16, 16, 3), number, np.uint8))
    return folder


def run(photos: Path, output: Path, *overrides: str) -> None:
    arguments = ["checkpoint=x.pt", f"images={photos}", f"output_dir={output}", "batch_size=1"]
    runtime = ["runtime.device=cpu", "runtime.workers=1"]
    detect.main(compose_config("detect", [*arguments, *runtime, *overrides]))


def listed(output: Path) -> list[tuple[int, str]]:
    entries = json.loads((output / "detections.json").read_text())
    return [(entry["image_id"], entry["file_name"]) for entry in entries]


ALL = [(number + 1, f"{number:02d}.png") for number in range(20)]


def test_a_picture_that_cannot_be_drawn_ends_nothing(
    detector: OneEach, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out"
    (output / "drawn" / "03.png").mkdir(parents=True)  # a folder has the picture's name
    with caplog.at_level("INFO"):
        run(photos, output)
    assert "not written: 03.png: " in caplog.text
    assert "of 1 a file could not be written (03.png): see above; all the others" in caplog.text
    assert listed(output) == ALL
    assert sum(path.is_file() for path in (output / "drawn").iterdir()) == 19


def test_an_interrupted_run_goes_on_behind_the_photos_that_are_done(
    detector: OneEach, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    original = detection_run.detect_images

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        for number, photo in enumerate(original(*arguments, **settings)):
            if number == 12:
                raise KeyboardInterrupt
            yield photo

    monkeypatch.setattr(detection_run, "detect_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(photos, output)
    assert len((output / "detections.jsonl").read_text().splitlines()) == 12
    assert not (output / "detections.json").exists()
    with pytest.raises(ValueError, match="go on from it with resume=true"):
        run(photos, output)
    monkeypatch.setattr(detection_run, "detect_images", original)
    detector.seen = 0
    run(photos, output, "resume=true")
    assert detector.seen == 8
    assert listed(output) == ALL
    assert len(list((output / "drawn").iterdir())) == 20


def full_from(patch: pytest.MonkeyPatch, pattern: str) -> None:
    """The disk has no room for new files of such a path, and no file of that size grows."""
    sync, write = os.fsync, DetectionsLog.write

    def synced(descriptor: int) -> None:
        if re.search(pattern, os.readlink(f"/proc/self/fd/{descriptor}")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    def written(log: DetectionsLog, record: PictureRecord) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if pattern == "jsonl" and record.number > 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1200, hard))  # within this line
        try:
            write(log, record)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    patch.setattr(DetectionsLog, "write", written)
    if pattern != "jsonl":
        patch.setattr(os, "fsync", synced)


@pytest.mark.parametrize(
    ("pattern", "file", "said"),
    [
        ("jsonl", "detections.jsonl", errno.EFBIG),
        (r"drawn/\.(0[7-9]|1.)\.png", r"drawn/\d\d.png", errno.ENOSPC),
        (r"features/\.(0[7-9]|1.)\.npz", r"features/\d\d.npz", errno.ENOSPC),
        (r"\.detections\.json\.", "detections.json", errno.ENOSPC),
    ],
)
def test_a_full_disk_ends_it_and_it_goes_on_from_there(
    pattern: str, file: str, said: int, detector: OneEach, photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = tmp_path / "out"
    checkpoint = tmp_path / "x.pt"
    checkpoint.touch()  # ``detector`` stands for it
    given = [f"checkpoint={checkpoint}", f"images={photos}", f"output_dir={output}", "batch_size=1"]
    given += ["runtime.device=cpu", "runtime.workers=1"]
    if "features" in pattern:
        given.append("features=true")
    with monkeypatch.context() as patch:
        full_from(patch, pattern)
        with pytest.raises(SystemExit) as end:
            launch(COMMANDS["detect"], ["detection detect", *given])
    assert end.value.code == 74
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    remedy = "make room, and run it again with resume=true; what was written before is whole"
    assert re.fullmatch(f"error: {output}/{file}: {os.strerror(said)}: {remedy}", line), line
    lines = (output / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    done = len([json.loads(line) for line in lines])
    assert done == (20 if "json" in pattern and pattern != "jsonl" else 7)
    assert not (output / "detections.json").exists()
    assert not list(output.rglob("*.partial"))
    launch(COMMANDS["detect"], ["detection detect", *given, "resume=true"])
    assert listed(output) == ALL
    assert len(list((output / "drawn").iterdir())) == 20
    assert len(list((output / "features").glob("*"))) == (20 if "features" in pattern else 0)


@pytest.mark.slow
def test_memory_stays_flat_over_many_pictures(
    detector: OneEach, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "00.png").unlink()
    large = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    cv2.imwrite(str(photos / "000.png"), large)
    for number in range(1, 300):
        os.link(photos / "000.png", photos / f"{number:03d}.png")
    used, write = [], DetectionsLog.write

    def written(log: DetectionsLog, record: PictureRecord) -> None:
        write(log, record)
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        used.append(pages * resource.getpagesize())

    monkeypatch.setattr(DetectionsLog, "write", written)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time
    run(photos, tmp_path / "out")
    assert len(used) > 300
    assert used[-1] < 1.02 * used[100]  # 200 pictures are 36 MB


def test_photos_are_not_overwritten_by_their_drawings(
    detector: OneEach, photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "drawn")
    before = {path: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    for overwrite in ("false", "true"):
        with pytest.raises(ValueError, match="is read by this run"):
            run(tmp_path / "drawn", tmp_path, f"overwrite={overwrite}")
    assert before == {path: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
