"""The columns of a CSV of boxes, recognised by their names."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Literal

Shape = Literal["corners", "size", "centre"]

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
# Where a picture has width and height, too, the box has w and h: these come first.
_LENGTHS = (("w", "h"), ("width", "height"))
_SIDES = tuple((*at, *of) for of in _LENGTHS for at in (("x", "y"), ("left", "top")))
_CENTRES = tuple(
    (*at, *of)
    for of in _LENGTHS
    for at in (
        ("xcenter", "ycenter"), ("xcentre", "ycentre"), ("centerx", "centery"),
        ("centrex", "centrey"), ("cx", "cy"), ("xc", "yc"),
    )
)  # fmt: skip
_SHAPES: tuple[tuple[Shape, tuple[tuple[str, ...], ...]], ...] = (
    ("corners", _CORNERS),
    ("size", _SIDES),
    ("centre", _CENTRES),
)
_WIDTH = ("width", "imagewidth", "imgwidth", "w")
_HEIGHT = ("height", "imageheight", "imgheight", "h")
_BOX = ("bbox", "box", "boundingbox")
_CROWD = ("isgroupof", "iscrowd")  # OpenImages', COCO's
_DIFFICULT = ("difficult", "isdifficult")
_SPLIT = ("split", "set", "subset", "partition", "usage", "phase", "splitname", "datasplit")


@dataclass(frozen=True)
class Columns:
    """The index of each column; None where there is none.

    ``sides``: x1, y1, x2, y2, or x, y, width, height where ``shape`` is size, x and y of the centre
    where it is centre; one alone: a list of four numbers in brackets, x, y, width, height.
    ``splits``: those that may say train, val or test.
    """

    file: int
    sides: tuple[int, ...]
    shape: Shape
    label: int | None
    width: int | None
    height: int | None
    has_head: bool = True
    crowd: int | None = None
    difficult: int | None = None
    splits: tuple[int, ...] = ()

    def told(self, head: list[str]) -> str:
        """For the report: what was taken for what."""
        names = [f"picture={head[self.file]}"]
        names.append("box=" + ",".join(head[i] for i in self.sides))
        names += (
            [f"class={head[self.label]}"]
            if self.label is not None
            else ["no class: each is called object"]
        )
        flags = (("crowd", self.crowd), ("difficult", self.difficult))
        names += [f"{what}={head[i]}" for what, i in flags if i is not None]
        return ", ".join(names)


def rows_of(text: str) -> list[list[str]]:
    """Those of a table, with the separator that the first line has most of.  Raises csv.Error."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return [row for row in rows if any(cell.strip() for cell in row)]


def lacking(head: list[str]) -> str:
    """What a first line that `recognise` knows not is without."""
    if any(re.fullmatch(r"\s*-?\d+([.,]\d+)?\s*", cell) for cell in head):
        return "a line with the names of the columns is missing"
    plain = [re.sub(r"[^a-z0-9]", "", cell.casefold()) for cell in head]
    if _first(plain, _FILE) is None:
        return "no column is called as pictures are (filename, image or path)"
    return (
        "no four columns are called as boxes are (xmin,ymin,xmax,ymax, or x,y,width,height, or "
        "x_center,y_center,width,height)"
    )


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
        for shape, choices in _SHAPES:
            for sides in choices:
                if all(side in names for side in sides):
                    found = tuple(names.index(side) for side in sides)
                    return _columns(file, found, shape, label, plain)
    box = _first(plain, _BOX)
    return None if box is None else _columns(file, (box,), "size", label, plain)


def _columns(
    file: int, sides: tuple[int, ...], shape: Shape, label: int | None, plain: list[str]
) -> Columns:
    free = [name if i not in sides else "" for i, name in enumerate(plain)]
    label = None if label == file else label
    return Columns(
        file,
        sides,
        shape,
        label,
        _first(free, _WIDTH),
        _first(free, _HEIGHT),
        crowd=_first(plain, _CROWD),
        difficult=_first(plain, _DIFFICULT),
        splits=tuple(free.index(name) for name in _SPLIT if name in free),
    )


def _first(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _without_head(row: list[str]) -> Columns | None:
    """A file without a line of names: picture, x1, y1, x2, y2, class (keras-retinanet's)."""
    if len(row) != 6 or not re.search(r"\.\w{2,5}$", row[0].strip()):
        return None
    numbers = [cell.strip() for cell in row[1:5]]
    if not all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in numbers) and any(numbers):
        return None
    return Columns(0, (1, 2, 3, 4), "corners", 5, None, None, has_head=False)
