"""The columns of a CSV of boxes, recognised by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FILE = (
    "filename", "file", "imageid", "image", "imagename", "imagepath", "img", "imgname", "imgid",
    "path", "filepath", "imagefilename", "picture",
)  # fmt: skip
_CLASS = (
    "class", "classname", "label", "labelname", "category", "categoryname", "classlabel",
    "objclass", "object", "type", "name", "classid", "categoryid", "labels",
)  # fmt: skip
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
    ("xtl", "ytl", "xbr", "ybr"),
    ("x0", "y0", "x1", "y1"),
    ("x", "y", "x1", "y1"),
)
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_WIDTH = ("width", "imagewidth", "imgwidth", "w")
_HEIGHT = ("height", "imageheight", "imgheight", "h")
_BOX = ("bbox", "box", "boundingbox")


@dataclass(frozen=True)
class Columns:
    """The index of each column; None where there is none.

    ``sides``: x1, y1, x2, y2, or x, y, width, height where ``is_size``; one alone: a list of four
    numbers in brackets, x, y, width, height.
    """

    file: int
    sides: tuple[int, ...]
    is_size: bool
    label: int | None
    width: int | None
    height: int | None
    has_head: bool = True

    def told(self, head: list[str]) -> str:
        """For the report: what was taken for what."""
        names = [f"picture={head[self.file]}"]
        names.append("box=" + ",".join(head[i] for i in self.sides))
        names += (
            [f"class={head[self.label]}"]
            if self.label is not None
            else ["no class: each is called object"]
        )
        return ", ".join(names)


def recognise(head: list[str]) -> Columns | None:
    """None if there is no picture or no box among the columns."""
    plain = [re.sub(r"[^a-z0-9]", "", cell.casefold()) for cell in head]
    # obj_x, bbox_x, bndbox_xmin: what the column belongs to says nothing.
    short = [re.sub(r"^(bndbox|bbox|box|obj|region)(?=.)", "", name) for name in plain]
    file = _first(plain, _FILE)
    if file is None:
        return _without_head(head)
    label = _first(plain, _CLASS)
    for names in (plain, short):
        for sides in _CORNERS:
            if all(side in names for side in sides):
                found = tuple(names.index(side) for side in sides)
                return _columns(file, found, False, label, plain)
        for sides in _SIDES:
            if all(side in names for side in sides):
                found = tuple(names.index(side) for side in sides)
                return _columns(file, found, True, label, plain)
    box = _first(plain, _BOX)
    return None if box is None else _columns(file, (box,), True, label, plain)


def _columns(
    file: int, sides: tuple[int, ...], is_size: bool, label: int | None, plain: list[str]
) -> Columns:
    free = [name if i not in sides else "" for i, name in enumerate(plain)]
    label = None if label == file else label
    return Columns(file, sides, is_size, label, _first(free, _WIDTH), _first(free, _HEIGHT))


def _first(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _without_head(row: list[str]) -> Columns | None:
    """A file without a line of names: picture, x1, y1, x2, y2, class (keras-retinanet's)."""
    if len(row) != 6 or not re.search(r"\.\w{2,5}$", row[0].strip()):
        return None
    numbers = [cell.strip() for cell in row[1:5]]
    if not all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in numbers) and any(numbers):
        return None
    return Columns(0, (1, 2, 3, 4), False, 5, None, None, has_head=False)
