"""The path of a request: upload -> picture -> the worker's mini-batch -> detections."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from detection.serving.limits import Limits
from detection.serving.picture import prepare
from detection.serving.refusal import ClientGone, Refusal
from detection.serving.steps import Steps
from detection.serving.upload import read_upload
from detection.serving.uploads import Uploads
from detection.serving.worker import Worker
from detection.structures import Detections


@dataclass(frozen=True)
class Found:
    """``seconds``: from the request's arrival until its answer."""

    width: int
    height: int
    detections: Detections
    seconds: float


class Service:
    """``in_work``: requests that are read, wait or are worked on.  ``is_stopping``: none is taken.

    ``readers``: threads that decode.
    """

    def __init__(self, *, steps: Steps, worker: Worker, limits: Limits, readers: int) -> None:
        self.steps, self.limits = steps, limits
        self.in_work = 0
        self.is_stopping = False
        self._worker = worker
        self._uploads = Uploads()
        self._readers = ThreadPoolExecutor(max(readers, 1), thread_name_prefix="reader")
        self._seconds_each = 1.0  # for a picture, of late: a guess until there is one

    def close(self) -> None:
        """Ends its threads, once nothing is in work any more."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    @property
    def is_ready(self) -> bool:
        return self._worker.is_alive and not self.is_stopping

    async def detect(self, request: Request, *, steps: str, threshold: float | None) -> Found:
        """The detections in the picture that a request holds.

        ``threshold``: the lowest score; None: as the steps have it.
        Raises :class:`Refusal`; :class:`ClientGone` where nobody waits any more.
        """
        began = time.perf_counter()
        with self._admitted():
            try:
                async with asyncio.timeout(self.limits.answer_seconds):
                    width, height, found = await self._answer(request, steps, threshold)
            except TimeoutError:
                raise Refusal(
                    504,
                    f"there was no answer within {self.limits.answer_seconds:g} seconds: the "
                    "server has much to do",
                    retry_after=self._retry_after(),
                ) from None
            seconds = time.perf_counter() - began
            self._seconds_each += 0.2 * (seconds / self.in_work - self._seconds_each)
        if threshold is not None:
            found = found[found.scores >= threshold]
        return Found(width, height, found, seconds)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self.is_stopping:
            raise Refusal(503, "the server is being stopped", retry_after=10)
        if not self._worker.is_alive:
            raise Refusal(503, "the detector has ended; the server must be started again")
        # One that gives way for this one is still counted for a moment.
        if self.in_work >= self.limits.waiting and not self._uploads.make_room():
            raise Refusal(
                503,
                f"{self.in_work} pictures are waiting already: try again later",
                retry_after=self._retry_after(),
            )
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1

    def _retry_after(self) -> int:
        """Seconds until half of what waits will be done."""
        return min(max(math.ceil(self._seconds_each * self.in_work / 2), 1), 60)

    async def _answer(
        self, request: Request, steps: str, threshold: float | None
    ) -> tuple[int, int, Detections]:
        try:
            variant = self.steps.variant(steps, threshold)
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        async with self._uploads.place() as upload:
            data = await read_upload(request, upload, self.limits)
            preparation, most = variant.detector.preparation, self.limits.most_pixels
            prepared = await asyncio.wrap_future(
                self._readers.submit(prepare, data, preparation, max_pixels=most)
            )
            del data
        found = await _while_wanted(request, self._worker.submit(variant, prepared))
        return prepared.width, prepared.height, found


async def _while_wanted(request: Request, work: Future[Detections]) -> Detections:
    """Its result; where the client goes before its turn comes, it is dropped."""
    answer = asyncio.wrap_future(work)
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientGone
        return answer.result()
    finally:
        # At once: by way of ``answer`` it would be a turn of the loop later, and perhaps begun.
        work.cancel()
        _cancel((answer, gone))


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _cancel(waiting: Iterable[asyncio.Future[Detections] | asyncio.Task[None]]) -> None:
    for each in waiting:
        each.cancel()
