"""A server of a tiny detector, on a port of this machine."""

from __future__ import annotations

import copy
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from detection.cli.compose import compose_unchecked
from detection.cli.objects import make
from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.model.faster_rcnn import FasterRCNN
from detection.serving.limits import Limits

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from detection.serving.app import Served
from detection.serving.server import address_of, bind, serve
from detection.serving.steps import Steps
from detection.serving.worker import Worker

LIMITS = Limits(
    waiting=32, max_bytes=2_000_000, max_pixels=4_000_000, upload_seconds=5, answer_seconds=60
)
CLASS_NAMES = ["cat", "hot dog", "</script><b>"]


@pytest.fixture(scope="session")
def presets() -> dict[str, Any]:
    """single, refine_vote and full of configs/inference, at scales of the tiny detector."""
    names = ("single", "refine_vote", "full")
    found = {
        name: make(compose_unchecked("serve", [f"inference={name}"]).inference) for name in names
    }
    multi_scale = replace(found["full"].multi_scale, shorter_sides=[64, 96], longest=200)
    return found | {"full": replace(found["full"], multi_scale=multi_scale)}


@pytest.fixture(scope="session")
def tiny_detector(detector: Callable[..., FasterRCNN], presets: dict[str, Any]) -> Detector:
    """It has something to say about every picture."""
    torch.manual_seed(0)
    model = detector(tiny=True, test_proposals=10).eval()
    nn.init.normal_(model.roi_head.logits.weight, std=4.0)
    nn.init.normal_(model.roi_head.deltas.weight, std=2.0)
    return Detector(
        models=[model],
        class_names=CLASS_NAMES,
        category_ids=[1, 3, 7],
        resize=Resize(shorter_sides=[96], longest=200),
        inference=presets["single"],
        device=torch.device("cpu"),
        precision="fp32",
    )


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """``stop``: asks it to end.  ``thread``: ends with it."""

    address: str
    host: str
    port: int
    stop: threading.Event
    thread: threading.Thread

    def ask(
        self, method: str, path: str, body: Any = None, *, timeout: float = 30, **headers: str
    ) -> Reply:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def detect(self, body: Any, query: str = "", **headers: str) -> Reply:
        return self.ask("POST", f"/detect{query}", body, **{"content-type": "image/png", **headers})


@pytest.fixture(scope="session")
def start(tiny_detector: Detector, presets: dict[str, Any]) -> Callable[..., Any]:
    """(detector, batch_size, limits ...) -> a server for a ``with``."""

    @contextmanager
    def started(
        served: Detector | None = None, *, batch_size: int = 4, **limits: Any
    ) -> Iterator[Running]:
        stop, ready = threading.Event(), threading.Event()
        own = served or tiny_detector
        with bind("127.0.0.1", 0) as bound:
            thread = threading.Thread(
                target=serve,
                args=(bound, Served(own, ["tiny.pt"], ["pictures.example.org"])),
                kwargs={
                    "steps": Steps(own, presets),
                    "limits": replace(LIMITS, **limits),
                    "batch_size": batch_size,
                    "readers": 2,
                    "should_stop": stop.is_set,
                    "on_start": ready.set,
                },
                daemon=True,
            )
            running = Running(address_of(bound), *bound.getsockname()[:2], stop, thread)
            thread.start()
            assert ready.wait(30)
            try:
                yield running
            finally:
                stop.set()
                thread.join(60)
                assert not thread.is_alive()

    return started


@pytest.fixture(scope="module")
def server(start: Callable[..., Any]) -> Iterator[Running]:
    with start() as running:
        yield running


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """(number, height, width) -> uint8 [H, W, 3] of blocks of colour."""

    def draw(number: int = 0, height: int = 96, width: int = 128) -> np.ndarray:
        blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)

    return draw


@pytest.fixture(scope="session")
def png(picture: Callable[..., np.ndarray]) -> Callable[..., bytes]:
    return lambda *size: cv2.imencode(".png", picture(*size))[1].tobytes()


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The pictures that were read and decoded, and wait for their turn or have had it."""
    found: list[object] = []
    submit = Worker.submit

    def counted(worker: Worker, variant: Any, picture: Any) -> Any:
        future = submit(worker, variant, picture)
        found.append(picture)
        return future

    monkeypatch.setattr(Worker, "submit", counted)
    return found


class Slow(Detector):
    """Waits in each mini-batch until ``go`` is set; ``batches``: how many pictures each had."""

    go: threading.Event
    batches: list[int]

    def detect_prepared(self, images: Any, sizes: Any, proposals: Any = None) -> Any:
        self.batches.append(len(images))
        assert self.go.wait(30)
        return super().detect_prepared(images, sizes, proposals)


@pytest.fixture
def slow(tiny_detector: Detector) -> Iterator[Slow]:
    found = copy.copy(tiny_detector)
    found.__class__ = Slow
    assert isinstance(found, Slow)
    found.go, found.batches = threading.Event(), []
    yield found
    found.go.set()
