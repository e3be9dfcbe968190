"""A request that is refused: a status of HTTP and one sentence that says why, and what helps."""

from __future__ import annotations


class Refusal(Exception):
    """``retry_after``: in so many seconds the same request may be taken; None: never."""

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


class ClientGone(Exception):
    """Nobody waits for the answer any more."""
