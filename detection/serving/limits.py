"""What a server takes, so that no request takes its memory or its time from the others."""

from __future__ import annotations

from dataclasses import dataclass

from detection.data.picture_head import most_pixels

# Uploads that are read or decoded at a time: each may hold ``max_bytes``.
UPLOADS_AT_ONCE = 16
# Where others wait for a place, an upload may be made to give way after so many seconds.
UPLOAD_PATIENCE = 5.0
# What multipart/form-data adds to a file.
FORM_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class Limits:
    """``waiting``: requests that are read, wait or are worked on; more are refused.

    ``max_bytes``: of a file.  ``max_pixels``: of a picture, as its head declares them.
    ``upload_seconds``: for a request's body to arrive.  ``answer_seconds``: for all of it.
    """

    waiting: int
    max_bytes: int
    max_pixels: int
    upload_seconds: float
    answer_seconds: float

    @property
    def most_pixels(self) -> int:
        """``max_pixels``, or what is taken anywhere where that is less."""
        return min(self.max_pixels, most_pixels())
