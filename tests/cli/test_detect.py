"""The command detect: what goes in, what comes out, and what happens to bad files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection import boxes as box_ops
from detection.cli import detect
from detection.cli.compose import compose_config
from detection.data.findings import Findings
from detection.data.formats.voc_xml import read_annotation
from detection.engine import detection_run
from detection.structures import Detections

BOX = [3.25, 2.0, 19.5, 12.0]  # x1, y1, x2, y2


class Levels:
    """A detector that finds a cat, and a dog where it is bright; notes what it has seen."""

    class_names = ("cat", "hot/dog")
    category_ids = (7, 18)

    def __init__(self) -> None:
        self.seen = 0

    def detect_arrays(self, images: list[np.ndarray]) -> list[Detections]:
        self.seen += len(images)
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> Detections:
        bright = image[..., 0].mean() > 100
        boxes = torch.tensor([BOX, [0.0, 5.0, 30.0, 20.0]])
        labels, scores = torch.tensor([1, 2]), torch.tensor([0.875, 0.25])
        return Detections(boxes, scores, labels)[slice(None, 2 if bright else 1)]


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Levels:
    found = Levels()
    monkeypatch.setattr(detect, "make_detector", lambda config, runtime: found)
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, level in (("a.png", 50), ("a.jpg", 150), ("sub/b.png", 200), ("c.jfif", 60)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((20, 30, 3), level, np.uint8)
        suffix = ".jpg" if name.endswith("jfif") else path.suffix
        path.write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames of 32 x 48 pixels, 5 a second, ever brighter."""
    path = tmp_path / "clip.avi"
    sink = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (48, 32))
    for number in range(10):
        sink.write(np.full((32, 48, 3), 25 * number, np.uint8))
    sink.release()
    return path


ON_THE_CPU = ("runtime.device=cpu", "runtime.workers=1")


def run(images: Any, output: Path, *overrides: str) -> None:
    given = [str(each) for each in images] if isinstance(images, list) else str(images)
    config = compose_config(
        "detect",
        ["checkpoint=x.pt", "images=x", f"output_dir={output}", *ON_THE_CPU, *overrides],
    )
    config.images = given
    detect.main(config)


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p.relative_to(folder).as_posix() for p in found if not p.name.startswith("."))


def records(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "detections.json").read_text())


def by_picture(output: Path) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for record in records(output):
        found.setdefault(record["file_name"], []).append(record["bbox"])
    return found


def test_before_each_mini_batch_the_runtime_may_follow_neighbours(
    detector: Levels, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    set_up = detect.set_up_runtime
    monkeypatch.setattr(
        detect,
        "set_up_runtime",
        lambda **keys: replace(
            set_up(**keys), follow_neighbours=lambda: seen.append(detector.seen)
        ),
    )
    run(photos, tmp_path / "out", "batch_size=1")
    assert seen == [0, 1, 2, 3]


ALL_FORMATS = "formats=[coco,csv,yolo,voc,crops]"


@pytest.mark.slow
def test_every_format_holds_the_same_boxes(detector: Levels, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(photos, output, ALL_FORMATS, "draw_score=0.3")
    assert files(output) == sorted(
        ["detections.csv", "detections.json", "detections.jsonl"]
        + [f"drawn/{name}" for name in ("a.jpg", "a.png", "c.jfif.jpg", "sub/b.png")]
        + ["yolo/classes.txt"]
        + [f"yolo/labels/{name}.txt" for name in ("a.jpg", "a.png", "c", "sub/b")]
        + [f"voc/{name}.xml" for name in ("a.jpg", "a.png", "c", "sub/b")]
        + [f"crops/cat/{name}_001_0.88.jpg" for name in ("a.jpg", "a.png", "c", "sub/b")]
    )
    expected = by_picture(output)
    assert expected["a.jpg"] == [[3.25, 2.0, 16.25, 10.0], [0.0, 5.0, 30.0, 15.0]]
    assert expected["c.jfif"] == [[3.25, 2.0, 16.25, 10.0]]

    with (output / "detections.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records(output)) == 6
    for row, record in zip(rows, records(output), strict=True):
        assert [float(row[key]) for key in ("x", "y", "width", "height")] == record["bbox"]
        assert float(row["score"]) == record["score"]
        assert (row["file_name"], row["class_name"]) == (record["file_name"], record["class_name"])

    assert (output / "yolo/classes.txt").read_text() == "cat\nhot/dog\n"
    for name, boxes in expected.items():
        stem = {"c.jfif": "c", "sub/b.png": "sub/b"}.get(name, name)
        lines = (output / f"yolo/labels/{stem}.txt").read_text().splitlines()
        numbers = np.array([line.split() for line in lines], dtype=float)
        assert numbers[:, 0].tolist() == [0.0, 1.0][: len(boxes)]
        centres, sizes = numbers[:, 1:3] * (30, 20), numbers[:, 3:] * (30, 20)
        assert np.hstack((centres - sizes / 2, sizes)) == pytest.approx(np.array(boxes), abs=1e-5)

        annotation = read_annotation(output / f"voc/{stem}.xml", Findings(), needs_size=True)
        assert annotation.size == (20, 30)
        assert annotation.names == ["cat", "hot/dog"][: len(boxes)]
        corners = box_ops.from_voc(np.array(annotation.boxes))
        assert box_ops.to_coco(corners).tolist() == boxes

    crop = cv2.imread(str(output / "crops/cat/sub/b_001_0.88.jpg"))
    assert crop.shape == (10, 17, 3)  # 2 ... 12, 3 ... 20
    assert abs(int(crop.mean()) - 200) < 3


def test_formats_without_coco_and_unknown_ones(
    detector: Levels, photos: Path, tmp_path: Path
) -> None:
    run(photos / "a.png", tmp_path / "out", "formats=csv", "draw=false")
    assert files(tmp_path / "out") == ["detections.csv", "detections.jsonl"]
    with pytest.raises(ValueError, match=r"each coco, csv, yolo, voc or crops"):
        run(photos, tmp_path / "other", "formats=[xml]")


@pytest.mark.slow
def test_a_run_goes_on_in_every_format(
    detector: Levels, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "out"
    run(photos, whole, ALL_FORMATS, "batch_size=1")
    original = detection_run.detect_images

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        photos = original(*arguments, **settings)
        yield next(photos)
        yield next(photos)
        raise KeyboardInterrupt

    monkeypatch.setattr(detection_run, "detect_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(photos, output, ALL_FORMATS, "batch_size=1")
    monkeypatch.setattr(detection_run, "detect_images", original)
    detector.seen = 0
    run(photos, output, ALL_FORMATS, "batch_size=1", "resume=true")
    assert detector.seen == 2
    assert files(output) == files(whole)
    for name in files(whole):
        assert (output / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_overwriting_removes_every_format_and_nothing_else(
    detector: Levels, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    run(photos, output, ALL_FORMATS)
    (output / "mine.txt").write_text("mine")
    run(photos / "a.png", output, "formats=coco", "draw=false", "overwrite=true")
    assert files(output) == ["detections.json", "detections.jsonl", "mine.txt"]


@pytest.mark.slow
def test_bad_files_are_counted_and_end_no_run(
    detector: Levels, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "bad.jpg").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(40))
    (photos / "bad.mp4").write_bytes(bytes(100))
    (photos / "photo.heic").touch()
    caplog.set_level("INFO")
    run(photos, tmp_path / "out")
    assert "1 other file left out: 1 .heic" in caplog.text
    assert "bad.jpg: not a readable image (52 bytes, a HEIC)" in caplog.text
    assert "bad.mp4: not a readable video" in caplog.text
    assert "1 of 5 images could not be read, 1 of 1 videos could not be read" in caplog.text
    assert len(by_picture(tmp_path / "out")) == 4
    with pytest.raises(ValueError, match="1 of 5 images could not be read, 1 of 1 videos"):
        run(photos, tmp_path / "strict", "strict=true")
    assert len(by_picture(tmp_path / "strict")) == 4
    with pytest.raises(ValueError, match="1 of 1 images could not be read: see above"):
        run(photos / "bad.jpg", tmp_path / "none")


def test_frames_of_a_video_are_numbered_behind_the_photos_and_drawn(
    detector: Levels, photos: Path, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    run([photos, clip], output, ALL_FORMATS, "every=2", "draw_score=0.2")
    frames = [r for r in records(output) if "frame" in r and r["class_name"] == "cat"]
    assert [r["file_name"] for r in frames] == [f"clip.avi/{i:06d}" for i in range(0, 10, 2)]
    assert [r["image_id"] for r in frames] == [5, 6, 7, 8, 9]
    assert [r["seconds"] for r in frames] == [0.0, 0.4, 0.8, 1.2, 1.6]
    drawn = cv2.VideoCapture(str(output / "drawn/clip.avi.mp4"))
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(2.5)
    images = []
    while (read := drawn.read())[0]:
        images.append(read[1])
    assert len(images) == 5
    assert images[0].shape == (32, 48, 3)
    assert images[0].max() > 60  # black, but for what is drawn
    assert len((output / "yolo/labels/clip.avi/000008.txt").read_text().splitlines()) == 2
    assert read_annotation(
        output / "voc/clip.avi/000008.xml", Findings(), needs_size=True
    ).size == (32, 48)
    assert (output / "crops/hot_dog/clip.avi/000008_002_0.25.jpg").is_file()


def test_a_video_that_cannot_be_written_is_said_once_and_costs_no_results(
    detector: Levels,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Not a subclass of OpenCV's: freeing one damages the heap.
    class Closed:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *arguments: object) -> None:
            pass

        def isOpened(self) -> bool:  # noqa: N802
            return False

    monkeypatch.setattr(cv2, "VideoWriter", Closed)
    run(clip, tmp_path / "out")
    assert caplog.text.count("OpenCV cannot write MP4 videos on this machine") == 1
    assert len(by_picture(tmp_path / "out")) == 10
    assert files(tmp_path / "out") == ["detections.json", "detections.jsonl"]


@pytest.mark.slow
def test_a_video_goes_on_and_is_drawn_whole(
    detector: Levels, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "out"
    run(clip, whole, "batch_size=2")
    find = Levels._find

    def interrupted(self: Levels, image: np.ndarray) -> Detections:
        if image.mean() > 140:
            raise KeyboardInterrupt
        return find(self, image)

    monkeypatch.setattr(Levels, "_find", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(clip, output, "batch_size=2")
    assert files(output) == ["detections.jsonl"]
    monkeypatch.setattr(Levels, "_find", find)
    detector.seen = 0
    run(clip, output, "batch_size=2", "resume=true")
    assert detector.seen == 4
    for name in files(whole):
        assert (output / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_camera_ends_with_ctrl_c(
    detector: Levels, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = cv2.VideoCapture

    class Camera:  # goes on for ever
        def __init__(self, source: Any) -> None:
            assert source == 0
            self._video = capture(str(clip))
            self.isOpened, self.get = self._video.isOpened, self._video.get
            self.retrieve, self.release = self._video.retrieve, self._video.release

        def grab(self) -> bool:
            if not self._video.grab():
                self._video.set(cv2.CAP_PROP_POS_FRAMES, 0)
                return self._video.grab()
            return True

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    find = Levels._find

    def interrupted(self: Levels, image: np.ndarray) -> Detections:
        if self.seen == 6:
            raise KeyboardInterrupt
        return find(self, image)

    monkeypatch.setattr(Levels, "_find", interrupted)
    output = tmp_path / "out"
    run("camera:0", output, "batch_size=4")
    names = {record["file_name"] for record in records(output)}
    assert len(names) == 5  # the sixth was being looked at
    assert all(name.startswith("camera-0/") for name in names)
    assert (output / "drawn/camera-0.mp4").is_file()
    detector.seen = -100
    run("camera:0", tmp_path / "three", "max_frames=3", "draw=false")
    assert len({record["file_name"] for record in records(tmp_path / "three")}) == 3
    with pytest.raises(ValueError, match="a camera shows something else now"):
        run("camera:0", output, "resume=true")


def test_photos_and_videos_are_not_overwritten_by_their_drawings(
    detector: Levels, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "drawn").mkdir()
    video = clip.rename(tmp_path / "drawn/clip.avi.mp4")
    before = video.read_bytes()
    (tmp_path / "clip.avi").touch()
    for overwrite in ("false", "true"):
        with pytest.raises(ValueError, match="is read by this run"):
            run([tmp_path / "clip.avi", video], tmp_path, f"overwrite={overwrite}")
    assert video.read_bytes() == before
