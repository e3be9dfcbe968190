"""How boxes are drawn: what their tags say, how wide their lines are, whether there is a legend."""

from __future__ import annotations

from dataclasses import dataclass

THICKEST = 100


@dataclass(frozen=True, kw_only=True)
class DrawingStyle:
    """``labels``, ``scores``: what a tag says; with neither there are frames alone.

    ``width``: of the lines, 1 ... :data:`THICKEST` pixels; None: by the picture and the object.
    ``legend``: whether what finds no room in the picture goes into a strip below it, which makes
    the drawn picture higher; otherwise those boxes have no tag.

    Raises ValueError for another width.

    >>> style = DrawingStyle(scores=False, width=3)  # for Detections.draw, .show and .save
    >>> style.legend
    True
    """

    labels: bool = True
    scores: bool = True
    width: int | None = None
    legend: bool = True

    def __post_init__(self) -> None:
        if self.width is not None and not 1 <= self.width <= THICKEST:
            raise ValueError(
                f"width must be from 1 to {THICKEST} pixels, or None to follow the objects, "
                f"got {self.width}"
            )


DEFAULT = DrawingStyle()
