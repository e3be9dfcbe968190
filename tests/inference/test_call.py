"""Calling a detector: photos of any kind, one or many; thresholds, features, copies, threads."""

from __future__ import annotations

import copy
import io
import logging
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detection import boxes as box_ops
from detection.inference.detector import Detector
from detection.inference.result import Result
from detection.inference.tiles import TiledDetector
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold, use_winograd
from detection.structures import Detections

MakeImage = Callable[[int, int], np.ndarray]


@pytest.fixture
def rgb(noise: MakeImage) -> np.ndarray:
    return noise(96, 128)


@pytest.fixture
def files(tmp_path: Path, rgb: np.ndarray) -> Path:
    """a.png, b.png and deeper/c.png, turned by 0, 90 and 180 degrees; a text, hidden files."""
    (tmp_path / "deeper").mkdir()
    for turns, name in enumerate(["a.png", "b.png", "deeper/c.png"]):
        Image.fromarray(np.rot90(rgb, turns)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._a.png").write_bytes(b"no picture either")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "album.jpg").mkdir()
    Image.fromarray(rgb).save(tmp_path / ".thumbnails" / "a.png")
    return tmp_path


def same(one: Detections | Result, other: Detections | Result) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("boxes", "scores", "labels")
    )


def test_one_photo_of_any_kind_is_one_result(
    make: Callable[..., Detector], files: Path, rgb: np.ndarray
) -> None:
    detector = make()
    result = detector(files / "a.png")
    assert isinstance(result, Result)
    assert len(result) > 1
    assert result.path == files / "a.png"
    (arrays,) = detector.detect_arrays([rgb[:, :, ::-1].copy()])
    assert same(result, arrays)
    bgr = rgb[:, :, ::-1]
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    for given in (str(files / "a.png"), Image.fromarray(rgb), rgb, tensor, tensor / 255):
        assert same(detector(given), result)
    assert same(detector(bgr, bgr=True), result)
    assert not same(detector(bgr), result)


def test_many_photos_are_an_iterator_that_reads_as_it_is_asked(
    make: Callable[..., Detector], files: Path
) -> None:
    detector = make()
    read: list[Path] = []

    def photos() -> Iterator[Path]:
        for name in ("a.png", "b.png", "deeper/c.png"):
            read.append(files / name)
            yield files / name

    results = detector(photos())
    assert read == []
    first = next(results)
    assert read == [files / "a.png"]
    together = [first, *results]
    assert [result.path for result in together] == read
    for given in (files, str(files), read, tuple(read)):
        found = detector(given)
        assert all(same(one, other) for one, other in zip(found, together, strict=True))
    assert list(detector([])) == []


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_are_of_the_size_that_is_asked_for(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], files: Path, batch_size: int
) -> None:
    Image.open(files / "a.png").save(files / "b.png")  # of one size: they go together
    model = tiny()
    found = list(make(model)(files, batch_size=batch_size))
    assert [result.path.name for result in found if result.path] == ["a.png", "b.png", "c.png"]
    assert model.backbone.images == {1: [1, 1, 1], 2: [2, 1], 8: [3]}[batch_size]


def test_a_photo_that_cannot_be_read_is_raised_or_left_out(
    make: Callable[..., Detector], files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (files / "b.png").write_bytes(b"no picture")
    detector = make()
    with pytest.raises(ValueError, match=r"b\.png: not a readable image"):
        list(detector(files))
    with caplog.at_level(logging.WARNING):
        found = list(detector(files, errors="warn"))
    assert [result.path.name for result in found if result.path] == ["a.png", "c.png"]
    assert "b.png" in caplog.text


@pytest.mark.parametrize(
    ("photos", "options", "error", "words"),
    [
        ("nothing_here.jpg", {}, FileNotFoundError, "no such image"),
        (None, {}, TypeError, "got NoneType"),
        (b"bytes", {}, TypeError, "got bytes"),
        ({"a": 1}, {}, TypeError, "got dict"),
        ([], {"batch_size": 0}, ValueError, "batch_size must be a whole number"),
        ([], {"batch_size": 1.5}, ValueError, "batch_size must be a whole number"),
        ([], {"errors": "ignore"}, ValueError, "errors must be raise or warn"),
        ([], {"threshold": 1.5}, ValueError, r"threshold must be a number in \[0, 1\], got 1.5"),
        ([], {"threshold": float("nan")}, ValueError, "threshold must be"),
        ([], {"threshold": "0.5"}, ValueError, "threshold must be"),
        ([], {"threshold": True}, ValueError, "threshold must be"),
    ],
)
def test_wrong_calls_are_refused_at_once(
    make: Callable[..., Detector], photos: Any, options: Any, error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        make()(photos, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"errors": "x"}, "errors must be raise or warn, got 'x'"),
        ({"tile": 20}, "tile must be a number of pixels"),
        ({"tile": 64, "tile_overlap": "half"}, r"tile_overlap must lie in \[0, 0\.5\], got 'half'"),
    ],
)
def test_wrong_values_are_refused_for_one_photo_too(
    make: Callable[..., Detector], rgb: np.ndarray, options: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make()(rgb, **options)


def test_tiles_and_class_thresholds_are_numbers_of_numpy_too(
    make: Callable[..., Detector], rgb: np.ndarray
) -> None:
    detector = make()
    name = detector.class_names[0]
    numpys: Any = {"tile": np.int64(64), "tile_overlap": np.float32(0.25)}
    found = detector(rgb, threshold={name: np.float32(0.5)}, **numpys)
    assert same(found, detector(rgb, threshold={name: 0.5}, tile=64, tile_overlap=0.25))


def test_an_empty_folder_is_said(make: Callable[..., Detector], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no images there"):
        make()(tmp_path)


def test_a_threshold_is_for_one_call(make: Callable[..., Detector], rgb: np.ndarray) -> None:
    detector = make()
    everything = detector(rgb)
    middle = float(everything.scores.median())
    assert same(detector(rgb, threshold=middle), everything[everything.scores >= middle])
    # A step that drops more than is asked for gives way.
    strict = replace(detector.inference.post_processing, score_threshold=0.9)
    detector.inference = replace(detector.inference, post_processing=strict)
    assert len(detector(rgb)) < len(everything)
    assert same(detector(rgb, threshold=0), everything)
    assert detector.inference.post_processing is strict


def test_a_threshold_may_be_given_by_class(make: Callable[..., Detector], rgb: np.ndarray) -> None:
    detector = make()
    everything = detector(rgb, threshold=0)
    first, second = detector.class_names[:2]
    highest = float(everything.named(first).scores[0])
    found = detector(rgb, threshold={first: highest, second: 0})
    assert len(found.named(first)) == 1
    assert same(found.named(second), everything.named(second))
    own = detector(rgb)
    for other in detector.class_names[2:]:
        assert same(found.named(other), own.named(other))
    with pytest.raises(ValueError, match=r"threshold: 'nobody' is none of the detector's classes"):
        detector(rgb, threshold={"nobody": 0.5})
    with pytest.raises(ValueError, match=rf"threshold: {first} must lie in \[0, 1\], got 2"):
        detector(rgb, threshold={first: 2})


def test_a_large_picture_is_seen_in_tiles(make: Callable[..., Detector], noise: MakeImage) -> None:
    detector, large = make(), noise(150, 200)
    tiled = TiledDetector(detector, tile=96, overlap=0.5)
    (expected,) = tiled([large[:, :, ::-1].copy()])
    assert same(detector(large, tile=96, tile_overlap=0.5), expected)
    assert not same(detector(large), expected)
    with pytest.raises(ValueError, match="tile must be a number of pixels, 32 or more, got 8"):
        detector(large, tile=8)
    with pytest.raises(ValueError, match=r"tile_overlap=0\.5 is of tile=: give both, or none"):
        detector(large, tile_overlap=0.5)


def test_a_step_that_cannot_give_way_is_named(
    make: Callable[..., Detector], rgb: np.ndarray
) -> None:
    class Theirs:
        score_threshold = 0.4

        def __call__(self, predictions: Any) -> Detections:
            return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())

    detector = make()
    detector.inference = replace(detector.inference, post_processing=Theirs())
    assert len(detector(rgb, threshold=0.5)) == 0
    with pytest.raises(ValueError, match=r"threshold=0.3: .*Theirs drops scores below 0.4"):
        detector(rgb, threshold=0.3)


def test_features_are_those_that_classify_sees(
    make: Callable[..., Detector], detector: Callable[..., FasterRCNN], rgb: np.ndarray
) -> None:
    whole = make(detector(test_proposals=10))
    boxes = torch.tensor([[8.0, 8, 90, 70], [40, 0, 80, 96], [0, 0, 500, 500]])
    found = whole.features(rgb, boxes)
    assert found.shape == (3, whole.model.backbone.region_channels)
    seen = whole._batch([whole.resize(rgb[:, :, ::-1].copy(), 96)])
    moved = box_ops.rescale(box_ops.clip(boxes, (96, 128)), (96, 128), seen.sizes[0])
    with torch.no_grad():
        expected = whole.model.region_features(whole.model.features(seen), [moved])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(whole.features(rgb, boxes.tolist()), found)
    torch.testing.assert_close(whole.features(rgb[:, :, ::-1], boxes.numpy(), bgr=True), found)
    assert whole.features(rgb, torch.zeros(0, 4)).shape == (0, found.shape[1])
    found.mul_(2)  # not one of inference mode


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[0, 0, 10]], r"boxes must be \[R, 4\].*\[1, 3\]"),
        ([0, 0, 10, 10], r"boxes must be \[R, 4\].*\[4\]"),
        ([[0, 0, 9, 9], [10, 10, 10, 20]], "box 1 is .*inside the photo of 128 x 96"),
        ([[10, 10, 5, 20]], "box 0 is"),
        ([[200, 10, 300, 20]], "box 0 is"),
        ([[0, float("nan"), 9, 9]], "box 0 is"),
        ("boxes", "boxes must be numbers"),
    ],
)
def test_wrong_boxes_have_no_features(
    make: Callable[..., Detector], rgb: np.ndarray, boxes: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make().features(rgb, boxes)


def test_an_ensemble_has_no_features_of_its_own(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN], rgb: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="needs one model, not an ensemble of 2"):
        make(tiny(), tiny()).features(rgb, [[0, 0, 9, 9]])


@pytest.fixture(scope="module")
def trained(make: Callable[..., Detector], detector: Callable[..., FasterRCNN]) -> Detector:
    """As Detector.load makes it: folded, with Winograd's convolutions, refinement and flips."""
    torch.manual_seed(0)
    model = detector(test_proposals=10)
    use_winograd(model, True)
    return make(fold(model), passes=1, flip=True, voting_iou=0.5)


@pytest.mark.slow
def test_eight_threads_find_what_one_finds(trained: Detector, noise: MakeImage) -> None:
    photos = [noise(96, 128), noise(128, 96), noise(64, 64), noise(100, 140)] * 2
    fresh = copy.deepcopy(trained)  # nothing has been computed with it yet
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(fresh, photos))
    assert all(same(found, trained(photo)) for photo, found in zip(photos, together, strict=True))


def _found_elsewhere(detector: Detector, photo: np.ndarray, queue: Any) -> None:
    found = detector(photo)
    queue.put((found.boxes.tolist(), found.scores.tolist(), found.labels.tolist()))


@pytest.mark.slow
def test_a_copy_finds_the_same_here_and_in_another_process(
    trained: Detector, rgb: np.ndarray
) -> None:
    before = trained(rgb)  # whatever it keeps for the next call goes along
    for copied in (copy.deepcopy(trained), copy.copy(trained), pickle.loads(pickle.dumps(trained))):
        assert same(copied(rgb), before)
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=_found_elsewhere, args=(trained, rgb, queue))
    process.start()
    boxes, scores, labels = queue.get(timeout=120)
    process.join()
    assert boxes == before.boxes.tolist()
    assert scores == before.scores.tolist()
    assert labels == before.labels.tolist()


@pytest.mark.slow
def test_the_precision_is_a_switch(trained: Detector, rgb: np.ndarray) -> None:
    detector = copy.copy(trained)
    exact = detector(rgb)
    detector.precision = "bf16"
    assert not torch.equal(detector(rgb).scores, exact.scores)
    assert trained.precision == "fp32"
    detector.precision = "fp32"
    assert same(detector(rgb), exact)
    with pytest.raises(ValueError, match="precision must be fp32 or bf16, got 'fp16'"):
        detector.precision = "fp16"  # type: ignore[assignment]


@pytest.mark.slow
def test_a_detector_moves_between_devices(
    trained: Detector, rgb: np.ndarray, device: torch.device
) -> None:
    moved = copy.deepcopy(trained)
    assert moved.to(device) is moved
    found = moved(rgb)
    assert found.boxes.device.type == "cpu"
    assert same(moved.to("cpu")(rgb), trained(rgb))


@pytest.mark.parametrize(
    ("name", "words"),
    [("gpu", "device must be auto, cpu, cuda"), ("cuda:97", "torch sees . CUDA devices here")],
)
def test_a_device_that_is_not_there_is_refused(trained: Detector, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trained.to(name)


def test_a_detector_says_what_it_is(
    make: Callable[..., Detector], tiny: Callable[..., FasterRCNN]
) -> None:
    assert repr(make()) == "<Detector: 3 classes (a, b, c) on cpu in fp32>"
    assert "of 2 models: 3 classes" in repr(make(tiny(), tiny()))


def test_numbers_of_numpy_are_numbers(make: Callable[..., Detector], rgb: np.ndarray) -> None:
    detector = make()
    (found,) = detector([rgb], threshold=np.float32(0.25), batch_size=np.int64(2))  # type: ignore[list-item]
    assert same(found, detector(rgb, threshold=0.25))


def test_bytes_are_no_list_of_photos(make: Callable[..., Detector]) -> None:
    for given in (b"\xff", bytearray(2), io.BytesIO(b"\xff")):
        with pytest.raises(TypeError, match="PIL makes an image"):
            make()(given)  # type: ignore[call-overload]


@pytest.mark.parametrize("given", [3, None, [["best.pt"]]])
def test_a_checkpoint_is_a_path_or_several(given: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint is a path or a name, or a list of them"):
        Detector.load(given)
    with pytest.raises(ValueError, match="path is empty"):
        Detector.load("")


@pytest.mark.parametrize("device", [None, "meta", "gpu"])
def test_a_device_that_is_none_is_refused(make: Callable[..., Detector], device: Any) -> None:
    with pytest.raises(ValueError, match="must be auto, cpu, cuda or cuda:N"):
        make().to(device)
