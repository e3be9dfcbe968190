"""Suite `serve`: JPEG files through the HTTP server, compared with the detector's own loop.

The peer reads the same files and detects in them in mini-batches of the same size, in this process.
Compared first: all detections, which may differ only by rounding, since other pictures are in a
mini-batch together.  The clients are threads of this process, so their work is the server's cost,
too; "x fastest peer" is the fraction of the throughput that remains.
"""

from __future__ import annotations

import functools
import http.client
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from detection.benchmarks.agreement import agreement
from detection.benchmarks.measurement import Case
from detection.benchmarks.networks import build_model, for_inference, training_config
from detection.benchmarks.pictures import write_pictures
from detection.cli.objects import make
from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.serving.app import Served
from detection.serving.limits import Limits
from detection.serving.server import bind, serve
from detection.serving.steps import Steps
from detection.structures import Detections

_LIMITS = Limits(
    waiting=1000,
    max_bytes=1 << 28,
    max_pixels=1 << 28,
    upload_seconds=600,
    answer_seconds=3600,
)


def cases(
    *,
    device: torch.device,
    overrides: Sequence[str],
    images: int,
    height: int,
    width: int,
    classes: int,
    clients: Sequence[int],
    batch_size: int,
    seed: int,
) -> Iterator[list[Case]]:
    """``overrides``: of configs/train.yaml, whose model it is.  ``clients``: a row for each."""
    detector = _detector(overrides, classes, device, seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), images, height, width, seed)

        def own() -> list[Detections]:
            return [one.detections for one in detector.stream(paths, batch_size=batch_size)]

        with _running(detector, batch_size) as port:

            def served(number: int) -> list[Detections]:
                with ThreadPoolExecutor(number) as pool:
                    return list(pool.map(lambda path: _ask(port, path.read_bytes()), paths))

            expected = own()
            group = [Case("the detector's own loop", "float32", own, peer=True, items=images)]
            for number in clients:
                facts = {"agreement": agreement(served(number), expected)}
                assert facts["agreement"] > 0.98
                run = functools.partial(served, number)
                group.append(
                    Case(f"served, {number} clients", "float32", run, items=images, facts=facts)
                )
            yield group


def _detector(overrides: Sequence[str], classes: int, device: torch.device, seed: int) -> Detector:
    config = training_config(overrides)
    model = build_model(config, classes=classes, seed=seed)
    return Detector(
        models=[for_inference(model, device, winograd=True)],
        class_names=[f"class {number}" for number in range(classes)],
        category_ids=range(1, classes + 1),
        resize=Resize(shorter_sides=[config.data.test_shorter_side], longest=config.data.longest),
        inference=make(config.inference),
        device=device,
        precision="fp32",
    )


@contextmanager
def _running(detector: Detector, batch_size: int) -> Iterator[int]:
    """The port of a server that ends with the block."""
    stop, ready = threading.Event(), threading.Event()
    with bind("127.0.0.1", 0) as bound:
        thread = threading.Thread(
            target=serve,
            args=(bound, Served(detector, ["benchmark"], [])),
            kwargs={
                "steps": Steps(detector, {}),
                "limits": _LIMITS,
                "batch_size": batch_size,
                "readers": 1,
                "should_stop": stop.is_set,
                "on_start": ready.set,
            },
        )
        thread.start()
        try:
            ready.wait()
            yield bound.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _ask(port: int, data: bytes) -> Detections:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", "/detect", data, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        found = said["detections"]
        return Detections(
            torch.tensor([one["box"] for one in found]).reshape(-1, 4),
            torch.tensor([one["score"] for one in found]),
            torch.tensor([one["category_id"] for one in found]),  # they are the labels here
        )
    finally:
        connection.close()
