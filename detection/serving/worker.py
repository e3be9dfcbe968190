"""One thread that owns the network: what waits with the same steps is detected together."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType

import torch

from detection.machine.out_of_memory import is_out_of_memory
from detection.serving.picture import Prepared
from detection.serving.refusal import Refusal
from detection.serving.steps import Variant
from detection.structures import Detections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    variant: Variant
    picture: Prepared
    future: Future[Detections] = field(default_factory=Future)


class Worker:
    """Detects in mini-batches of ``batch_size`` at most, the oldest request first.

    It waits for none: where one request waits alone, it is detected alone.  A detector's results
    do not depend on what is detected beside them.  Leaving it ends the thread once all that was
    submitted is done.
    """

    def __init__(self, *, batch_size: int) -> None:
        self._batch_size = batch_size
        self._jobs: deque[_Job] = deque()
        self._change = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._change:
            self._is_closed = True
            self._change.notify()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, variant: Variant, picture: Prepared) -> Future[Detections]:
        """The detections, or :class:`Refusal`.  To cancel it before its turn costs nothing."""
        job = _Job(variant, picture)
        with self._change:
            self._jobs.append(job)
            self._change.notify()
        return job.future

    def _run(self) -> None:
        while batch := self._next_batch():
            self._detect([job for job in batch if job.future.set_running_or_notify_cancel()])

    def _next_batch(self) -> list[_Job]:
        """Those that have the steps of the oldest; none when all is over."""
        with self._change:
            self._change.wait_for(lambda: self._jobs or self._is_closed)
            if not self._jobs:
                return []
            key = self._jobs[0].variant.key
            same = [job for job in self._jobs if job.variant.key == key][: self._batch_size]
            taken = {id(job) for job in same}
            self._jobs = deque(job for job in self._jobs if id(job) not in taken)
            return same

    def _detect(self, batch: Sequence[_Job]) -> None:
        """Answers each; where a mini-batch fails, each of its pictures is tried alone."""
        if not batch:
            return
        try:
            found = batch[0].variant.detect(
                [job.picture.scales for job in batch],
                [(job.picture.height, job.picture.width) for job in batch],
            )
        except Exception as error:  # of whatever kind: the next picture must be answered, too
            if torch.cuda.is_available() and is_out_of_memory(error):
                torch.cuda.empty_cache()
            if len(batch) > 1:
                for job in batch:
                    self._detect([job])
            else:
                batch[0].future.set_exception(_refusal(error))
            return
        for job, detections in zip(batch, found, strict=True):
            job.future.set_result(detections)


def _refusal(error: Exception) -> Refusal:
    if is_out_of_memory(error):
        log.error("out of memory: %s", str(error).partition("\n")[0])
        return Refusal(
            503,
            "there is not enough memory for this picture: send a smaller one, or take other steps",
            retry_after=10,
        )
    log.error("a picture could not be detected in", exc_info=error)
    return Refusal(500, "the detector failed on this picture; the server's log says how")
