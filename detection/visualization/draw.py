"""Detections and ground truth drawn on photos, for people.

Images are uint8 BGR [H, W, 3]; what is handed in is never changed.  A class keeps its colour in
every picture, whatever else is in it.  Frames stand around their boxes, tags where they hide no
object; tags without room go into a legend, a strip below the picture: the photo's own pixels stay
in the first H rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Detections, Target
from detection.visualization.colours import Colour, class_colour
from detection.visualization.frames import Corners, Frame, draw_frames, lay_out_frames
from detection.visualization.image import Image, check_image
from detection.visualization.legend import Entry, counted, draw_legend, lay_out_legend
from detection.visualization.letters import is_covered
from detection.visualization.style import DEFAULT, DrawingStyle
from detection.visualization.tags import Tag, draw_tag, lay_out_tags

log = logging.getLogger("draw")


def draw_detections(
    image: Image,
    detections: Detections,
    class_names: Sequence[str],
    *,
    min_score: float,
    style: DrawingStyle = DEFAULT,
) -> Image:
    """A copy of ``image`` with a frame and a tag "name score" for each detection.

    ``detections``: in pixels of ``image``, best first; those below ``min_score`` in [0, 1] are
    left out.  ``class_names[label - 1]`` names a label.  The result is higher than ``image`` where
    it has a legend: see :class:`detection.visualization.style.DrawingStyle`.

    Raises ValueError where the image is not uint8 [H, W, 3] or a label has no name.
    """
    shown = detections.cpu()
    shown = shown[shown.scores >= min_score]
    labels = shown.labels.tolist()
    names = _names(labels, class_names)
    captions = [
        f"{name if style.labels else ''} {f'{score:.2f}' if style.scores else ''}".strip()
        for name, score in zip(names, shown.scores.tolist(), strict=True)
    ]
    return draw_boxes(
        image, shown.boxes, labels=labels, names=names, captions=captions, style=style
    )


def draw_target(
    image: Image, target: Target, class_names: Sequence[str], *, style: DrawingStyle = DEFAULT
) -> Image:
    """A copy of ``image`` with its ground truth in dashed frames, tagged with the names.

    ``target``: in pixels of ``image``; ignored objects (crowd, difficult) have a tag in brackets.
    The result may be higher, as that of :func:`draw_detections`.

    Raises ValueError where the image is not uint8 [H, W, 3] or a label has no name.
    """
    labels = target.labels.tolist()
    names = [
        f"({name})" if is_ignored else name
        for name, is_ignored in zip(
            _names(labels, class_names), target.ignored.tolist(), strict=True
        )
    ]
    captions = names if style.labels else [""] * len(names)
    return draw_boxes(
        image,
        target.boxes,
        labels=labels,
        names=names,
        captions=captions,
        style=style,
        dashed=True,
    )


def draw_boxes(
    image: Image,
    boxes: Tensor,
    *,
    labels: Sequence[int],
    names: Sequence[str],
    captions: Sequence[str],
    style: DrawingStyle = DEFAULT,
    dashed: bool = False,
) -> Image:
    """A copy of ``image`` with ``boxes`` [N, 4] drawn, the most important one first in the list.

    ``labels``: choose the colours.  ``captions``: the texts of the tags, "" for none.  ``names``:
    of the classes, for the legend.

    Raises ValueError where the image is not uint8 [H, W, 3].
    """
    check_image(image)
    size = image.shape[0], image.shape[1]
    frames = lay_out_frames(size, _whole_pixels(boxes, size), width=style.width)
    colours = [class_colour(label) for label in labels]
    tags, entries = _tags_and_entries(size, frames, captions, names, colours, style)
    strip = lay_out_legend(size, entries) if entries else None
    rows = strip[1] if strip else 0
    canvas = np.empty((size[0] + rows, size[1], 3), np.uint8)
    canvas[: size[0]] = image
    draw_frames(canvas, image, frames, colours, dashed=dashed)
    for tag, colour in zip(tags, colours, strict=True):
        if tag is not None:
            draw_tag(canvas, tag, colour)
    if strip:
        draw_legend(canvas, size[0], strip[0], entries)
    return canvas


def _tags_and_entries(
    size: tuple[int, int],
    frames: Sequence[Frame],
    captions: Sequence[str],
    names: Sequence[str],
    colours: Sequence[Colour],
    style: DrawingStyle,
) -> tuple[list[Tag | None], list[Entry]]:
    """The tags in the picture, and the entries of its legend: without numbers if too many."""
    for numbered in (True, False) if style.legend else (False,):
        tags = lay_out_tags(size, frames, captions, numbered=numbered)
        entries: list[Entry] = [
            (f"{tag.number}: {caption}", colour)
            for tag, caption, colour in zip(tags, captions, colours, strict=True)
            if tag is not None and tag.number is not None
        ]
        left = [i for i, tag in enumerate(tags) if tag is None and captions[i]]
        if style.labels:
            entries += counted([names[i] for i in left], [colours[i] for i in left])
        if not numbered or not entries or lay_out_legend(size, entries):
            break
    return tags, entries if style.legend else []


def _whole_pixels(boxes: Tensor, size: tuple[int, int]) -> list[Corners]:
    """Clipped to the image, at least one pixel wide and high."""
    height, width = size
    clipped = box_ops.clip(boxes.detach().cpu().float().reshape(-1, 4), size)
    corners = []
    for x1, y1, x2, y2 in torch.round(clipped).int().tolist():
        x1, y1 = min(x1, width - 1), min(y1, height - 1)
        corners.append((x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
    return corners


def _names(labels: list[int], class_names: Sequence[str]) -> list[str]:
    for label in labels:
        if not 1 <= label <= len(class_names):
            raise ValueError(
                f"label {label} has no name: labels are 1 ... {len(class_names)} for these class "
                "names; use the names of the model or data set that the labels come from"
            )
    return [_drawable(class_names[label - 1], label) for label in labels]


@cache
def _drawable(name: str, label: int) -> str:
    """``name``, or the class's number where there are no letters for it, which is said once."""
    if is_covered(name):
        return name
    log.warning(
        'class %d, %r, is drawn as "class %d": no font here has its letters. Install one of its '
        "script, for instance one of Noto (fonts-noto-core on Debian)",
        label, name, label,
    )  # fmt: skip
    return f"class {label}"
