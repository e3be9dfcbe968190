"""Annotated pictures -> a data set: what all formats but COCO's and VOC's own have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from detection import boxes as box_ops
from detection.data.box_check import OVER_BORDER, BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset, Example
from detection.data.findings import Findings, collect
from detection.data.formats.class_names import say_alike
from detection.data.formats.file_names import FileNames
from detection.data.formats.format import FOREIGN
from detection.data.formats.sizes import Size, Sized, settle_sizes

# The class of annotations that name none.
UNNAMED = "object"


@dataclass
class AnnotatedPicture:
    """One picture and its objects, as the annotations have them.

    ``size``: (height, width), None where they do not say it.
    For each object its class in ``names``, (x1, y1, x2, y2) in pixels in ``corners``, whether it is
    ``difficult`` or a ``crowd``, and in ``where`` its place in the annotations.
    """

    path: Path
    size: Size | None = None
    names: list[str] = field(default_factory=list)
    corners: list[Sequence[float]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)

    def add(
        self,
        name: str,
        corners: Sequence[float],
        where: str,
        *,
        difficult: bool = False,
        crowd: bool = False,
    ) -> None:
        self.names.append(name)
        self.corners.append(corners)
        self.where.append(where)
        self.difficult.append(difficult)
        self.crowd.append(crowd)


def to_dataset(
    pictures: Sequence[AnnotatedPicture],
    *,
    source: Path,
    format: str,
    findings: Findings,
    invalid_boxes: InvalidBoxes,
    class_names: Sequence[str] | None = None,
    annotated: bool = True,
    check_images: bool = True,
    has_sizes: bool = True,
    replaced: Literal["refuse", "keep"] = "refuse",
) -> DetectionDataset:
    """``class_names``: in the order of their labels; None: those that occur, sorted.

    ``has_sizes``: whether the annotations say the sizes of pictures at all.
    ``check_images``: False: the pictures are read only if sizes are missing.
    ``replaced``: see `settle_sizes`.
    Raises ValueError with all faults.
    """
    pictures = _each_once(pictures, findings)
    corners = [np.array(picture.corners, dtype=np.float64).reshape(-1, 4) for picture in pictures]
    stated = [
        Sized(picture.path, picture.size, boxes)
        for picture, boxes in zip(pictures, corners, strict=True)
    ]
    if check_images or any(item.size is None for item in stated):
        sizes = settle_sizes(stated, findings, replaced=replaced, has_sizes=has_sizes)
    else:
        sizes = [item.size or (1, 1) for item in stated]
    for picture in pictures:
        _tidy_names(picture, findings)
    names = class_names
    if names is None:
        names = sorted({name for picture in pictures for name in picture.names})
        say_alike(names, findings)
    if len(set(names)) < len(names):
        findings.refuse(f"{source}: two classes have the same name: {list(names)}; rename one")
    findings.finish()
    label_of = {name: label for label, name in enumerate(names, start=1)}

    check = BoxCheck(source=source, on_invalid=invalid_boxes)
    examples = []
    for number, (picture, boxes, size) in enumerate(
        zip(pictures, corners, sizes, strict=True), start=1
    ):
        clipped, kept = check(boxes.astype(np.float32), size, picture.where)
        annotation = box_ops.to_coco(boxes)
        example = Example(
            image_id=number,
            path=picture.path,
            size=size,
            boxes=clipped,
            labels=np.array([label_of[name] for name in picture.names], dtype=np.int64),
            crowd=np.array(picture.crowd, dtype=bool),
            difficult=np.array(picture.difficult, dtype=bool),
            annotated=annotation,
            areas=np.prod(annotation[:, 2:], axis=1),
        )
        examples.append(example.keep(kept))
    check.finish()
    findings.all_repaired(OVER_BORDER, check.clipped)
    ids = tuple(range(1, len(names) + 1))
    return DetectionDataset(
        tuple(names), ids, examples, source, annotated, format, findings.oddities
    )


def _each_once(
    pictures: Sequence[AnnotatedPicture], findings: Findings
) -> Sequence[AnnotatedPicture]:
    """Without those that are annotated a second time alike, as a second download of a file is."""
    kept: list[AnnotatedPicture] = []
    seen: dict[Path, list[AnnotatedPicture]] = {}
    for picture in pictures:
        others = seen.setdefault(picture.path, [])
        if any((o.names, o.corners) == (picture.names, picture.corners) for o in others):
            findings.repaired("picture annotated twice alike, once left out", str(picture.path))
            continue
        others.append(picture)
        kept.append(picture)
    return kept


def _tidy_names(picture: AnnotatedPicture, findings: Findings) -> None:
    for index, (name, where) in enumerate(zip(picture.names, picture.where, strict=True)):
        if not name.strip():
            findings.refuse(f"{where}: the object has no class; name it, or take it out")
        elif name != name.strip():
            findings.repaired("class name with blanks around it", f"{name!r} in {where}")
        picture.names[index] = name.strip()


def say_unlabelled(pictures: Sequence[Path], annotated: Sequence[Path], findings: Findings) -> None:
    """Pictures without any annotation are no statement that there is nothing to see: left out."""
    used = set(annotated)
    stems = {path.with_suffix("") for path in annotated}
    for path in pictures:
        if path in used:
            continue
        if path.with_suffix("") in stems:
            findings.repaired("second picture of the same name, left out", str(path))
        else:
            findings.repaired(
                "picture that was never annotated, left out (it is not taken for background)",
                str(path),
            )


def pictures_of_others(
    parts: Mapping[str, Iterable[Path]],
    split: str,
    *,
    root: Path,
    names_in: Callable[[Path, str], Iterable[str]],
) -> set[Path]:
    """The pictures that the files of other splits name: it is not for ``split`` to speak of them.

    ``parts``: the files of each split.  ``names_in``: the names that a file has for a split.
    Nothing is said, and faults are passed over: these are not of the split that was asked for.
    """
    found: set[Path | None] = set()
    for other in parts.keys() - {split}:
        resolver = FileNames(folders=[root], root=root, findings=Findings(), split=other)
        for file in parts[other]:
            names: Iterable[str] = ()
            with suppress(OSError, ValueError, *FOREIGN):
                names = [*names_in(file, other)]
            for name in names:
                with suppress(ValueError):  # it leads out of the data set
                    found.add(resolver.find(name, near=file.parent))
    return {path for path in found if path}


def refuse_missing(missing: Sequence[str], total: int, source: Path, nearest: str) -> None:
    """Raises FileNotFoundError if there are ``missing`` names of pictures."""
    if missing and not collect(f"{source}: no picture {name}" for name in missing):
        raise FileNotFoundError(
            f"{source}: {len(missing)} of {total} pictures that are annotated are not there, the "
            f"first is {missing[0]}{f' ({nearest})' if nearest else ''}; put them beside their "
            "annotations, or take these out"
        )
