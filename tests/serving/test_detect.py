"""POST /detect: the detector's own results, bit for bit, whatever is asked beside them."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.requests import Request

from detection.inference.detector import Detector
from detection.serving.service import ClientGone, _while_wanted
from detection.serving.steps import Steps


def expected(detector: Detector, image: np.ndarray, threshold: float | None = None) -> list[Any]:
    """(class, score, box) of each, by a call of the detector."""
    found = detector(image, threshold=threshold, bgr=True)
    return [(one.class_name, one.score, list(one.box)) for one in found]


def said(answer: Any) -> list[Any]:
    return [(one["class"], one["score"], one["box"]) for one in answer["detections"]]


def form(data: bytes, name: str = "photo.png") -> tuple[bytes, str]:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = b"--line\r\n" + head.encode() + b"Content-Type: image/png\r\n\r\n" + data
    return body + b"\r\n--line--\r\n", "multipart/form-data; boundary=line"


@pytest.mark.parametrize("steps", ["single", "refine_vote", "full"])
@pytest.mark.parametrize("threshold", [None, 0.0, 0.01, 0.5])
def test_the_results_are_the_detectors_own(
    server: Any,
    tiny_detector: Detector,
    presets: Any,
    picture: Any,
    png: Any,
    steps: str,
    threshold: float | None,
) -> None:
    own = Steps(tiny_detector, presets).variant(steps, None).detector
    query = f"?steps={steps}" + ("" if threshold is None else f"&threshold={threshold}")
    reply = server.detect(png(3, 90, 150), query)
    assert reply.status == 200
    assert reply.json["image"] == {"width": 150, "height": 90}
    assert reply.json["steps"] == steps
    wanted = expected(own, picture(3, 90, 150), threshold)
    assert wanted
    assert said(reply.json) == wanted


def test_a_form_is_as_good_as_a_body(server: Any, png: Any) -> None:
    body, kind = form(png(1), "../../etc/passwd")
    reply = server.detect(body, content_type=kind)
    assert reply.status == 200
    assert said(reply.json) == said(server.detect(png(1)).json)


def test_classes_may_be_chosen(server: Any, png: Any) -> None:
    every = server.detect(png(1)).json["detections"]
    dogs = server.detect(png(1), "?class=hot%20dog").json["detections"]
    assert dogs == [one for one in every if one["class"] == "hot dog"]
    assert {one["category_id"] for one in dogs} == {3}
    assert len(dogs) < len(every)


def test_a_photo_is_turned_upright(server: Any, tiny_detector: Detector, tmp_path: Any) -> None:
    from PIL import Image

    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    Image.fromarray(noise).save(path, exif=exif)
    reply = server.detect(path.read_bytes())
    assert reply.json["image"] == {"width": 60, "height": 100}
    found = tiny_detector(path)
    assert said(reply.json) == [(one.class_name, one.score, list(one.box)) for one in found]


@pytest.mark.slow
def test_200_pictures_from_8_clients(
    server: Any, tiny_detector: Detector, picture: Any, png: Any
) -> None:
    sizes = [(number, 60 + number % 5 * 20, 100 + number % 3 * 20) for number in range(200)]
    files = [png(*size) for size in sizes]

    def ask(data: bytes) -> Any:
        return server.detect(data)

    began = time.monotonic()
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(ask, files))
    assert time.monotonic() - began < 60
    assert {reply.status for reply in replies} == {200}
    for size, reply in zip(sizes, replies, strict=True):
        assert said(reply.json) == expected(tiny_detector, picture(*size))
    assert server.ask("GET", "/health").json["in_work"] == 0


def test_what_waits_is_detected_together(
    start: Callable[..., Any],
    slow: Any,
    submitted: list[object],
    tiny_detector: Detector,
    picture: Any,
    png: Any,
) -> None:
    with start(slow, batch_size=4) as running, ThreadPoolExecutor(8) as clients:
        first = clients.submit(running.detect, png(0))
        until(lambda: slow.batches == [1])
        others = [clients.submit(running.detect, png(number)) for number in range(1, 6)]
        others.append(clients.submit(running.detect, png(6), "?steps=refine_vote"))
        until(lambda: len(submitted) == 7)
        slow.go.set()
        replies = [each.result() for each in [first, *others]]
    assert sorted(slow.batches) == [1, 1, 1, 4]
    for number in range(6):
        assert said(replies[number].json) == expected(tiny_detector, picture(number))


def test_the_request_of_a_client_that_is_gone_is_dropped(
    start: Callable[..., Any], slow: Any, submitted: list[object], png: Any
) -> None:
    with start(slow, batch_size=1) as running, ThreadPoolExecutor(4) as clients:
        first = clients.submit(running.detect, png(0))
        until(lambda: slow.batches == [1])
        going = http.client.HTTPConnection(running.host, running.port, timeout=30)
        going.request("POST", "/detect", png(1), {"content-type": "image/png"})
        until(lambda: len(submitted) == 2)
        going.close()
        until(lambda: running.ask("GET", "/health").json["in_work"] == 1)
        slow.go.set()
        assert first.result().status == 200
        assert running.detect(png(2)).status == 200
    assert slow.batches == [1, 1]


def test_what_nobody_waits_for_is_dropped_at_once() -> None:
    work: Future[Any] = Future()

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def asked() -> bool:
        with pytest.raises(ClientGone):
            await _while_wanted(Request({"type": "http"}, gone), work)
        return work.cancelled()  # the loop has had no turn since

    # In a thread of its own: the tests of the page leave a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, asked()).result()


def test_a_full_queue_says_when_to_come_again(
    start: Callable[..., Any], slow: Any, png: Any
) -> None:
    with start(slow, waiting=2) as running, ThreadPoolExecutor(4) as clients:
        taken = [clients.submit(running.detect, png(number)) for number in range(2)]
        until(lambda: running.ask("GET", "/health").json["in_work"] == 2)
        reply = running.detect(png(2))
        assert (reply.status, int(reply.headers["retry-after"]) >= 1) == (503, True)
        assert "waiting already" in reply.json["error"]
        slow.go.set()
        assert [each.result().status for each in taken] == [200, 200]
        assert running.detect(png(2)).status == 200


def test_an_answer_that_takes_too_long_is_given_up(
    start: Callable[..., Any], slow: Any, png: Any
) -> None:
    with start(slow, answer_seconds=0.3) as running:
        reply = running.detect(png(0))
        assert reply.status == 504
        assert "0.3 seconds" in reply.json["error"]
        slow.go.set()
        until(lambda: running.ask("GET", "/health").json["in_work"] == 0)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 503, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 503, "not enough memory"),
        (ValueError("a fault of ours"), 500, "the server's log"),
    ],
)
def test_a_picture_that_fails_takes_no_other_with_it(
    start: Callable[..., Any],
    slow: Any,
    submitted: list[object],
    png: Any,
    error: Exception,
    status: int,
    words: str,
) -> None:
    detect = slow.detect_prepared

    def failing(images: Any, sizes: Any) -> Any:
        found = detect(images, sizes)
        if (40, 90) in sizes:
            raise error
        return found

    slow.detect_prepared = failing
    with start(slow) as running, ThreadPoolExecutor(4) as clients:
        first = clients.submit(running.detect, png(0))
        until(lambda: slow.batches == [1])
        bad = clients.submit(running.detect, png(1, 40, 90))
        good = clients.submit(running.detect, png(2))
        until(lambda: len(submitted) == 3)
        slow.go.set()
        assert bad.result().status == status
        assert words in bad.result().json["error"]
        assert [first.result().status, good.result().status] == [200, 200]
        assert running.detect(png(3)).status == 200


def test_a_stop_finishes_what_is_in_work_and_refuses_the_new(
    start: Callable[..., Any], slow: Any, png: Any
) -> None:
    with start(slow, batch_size=1) as running, ThreadPoolExecutor(4) as clients:
        taken = [clients.submit(running.detect, png(number)) for number in range(3)]
        until(lambda: running.ask("GET", "/health").json["in_work"] == 3)
        running.stop.set()
        until(lambda: refuses(running))
        assert running.thread.is_alive()
        slow.go.set()
        assert [each.result().status for each in taken] == [200, 200, 200]
        running.thread.join(20)
        assert not running.thread.is_alive()
    assert threading.active_count() < 50


def refuses(running: Any) -> bool:
    try:
        return running.ask("GET", "/health").status == 503
    except (ConnectionError, OSError):
        return True


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_format_that_detect_takes_is_taken(server: Any, picture: Any) -> None:
    for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif"):
        data = cv2.imencode(suffix, picture(1))[1].tobytes()
        assert server.detect(data).status == 200, suffix
