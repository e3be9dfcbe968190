"""Detections that say their picture's file and their class's name belong to those.

``tools/detect.py`` numbers pictures as it finds them, and knows no annotations: its ids mean
nothing to a data set.  The names do.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from detection.evaluation.coco_arrays import GroundTruth

_log = logging.getLogger(__name__)


def matched_by_name(
    detections: Sequence[Any], ground_truth: GroundTruth, *, where: str
) -> list[Any]:
    """The records with the ground truth's ``image_id`` and ``category_id``, where they have names.

    ``file_name``: the same, or the same last part where that is of one picture.  ``class_name``:
    the same, or the same but for capitals.  A record without names keeps its ids; how many of the
    others had other ids is logged.
    Raises ValueError, naming the entry, for a name that the ground truth does not have.
    """
    images, classes = _Images(ground_truth), _Classes(ground_truth)
    found: list[Any] = []
    changed = {"image_id": 0, "category_id": 0}
    for number, record in enumerate(detections):
        if not isinstance(record, dict):
            found.append(record)
            continue
        ids: dict[str, Any] = {}
        for key, name, known in (
            ("image_id", record.get("file_name"), images),
            ("category_id", record.get("class_name"), classes),
        ):
            if isinstance(name, str):
                try:
                    ids[key] = known.id_of(name, record.get(key))
                except ValueError as error:
                    raise ValueError(f"{where}[{number}]: {error}") from None
                changed[key] += ids[key] != record.get(key)
        found.append({**record, **ids})
    for key, count in changed.items():
        if count:
            named = "file_name" if key == "image_id" else "class_name"
            _log.info(
                "%s: %d of %d records have another %s than the annotations have for their %s: "
                "the name counts", where, count, len(found), key, named,
            )  # fmt: skip
    return found


class _Images:
    def __init__(self, ground_truth: GroundTruth) -> None:
        self._whole: dict[str, list[Any]] = {}
        self._last: dict[str, list[Any]] = {}
        for image in ground_truth["images"]:
            name = str(image.get("file_name", "")).replace("\\", "/")
            self._whole.setdefault(name, []).append(image["id"])
            self._last.setdefault(PurePosixPath(name).name, []).append(image["id"])

    def id_of(self, name: str, given: object) -> Any:
        plain = name.replace("\\", "/")
        last = PurePosixPath(plain).name
        ids = self._whole.get(plain) or self._last.get(last) or []
        if len(ids) == 1:
            return ids[0]
        if given in ids:  # several pictures are called so, and this is one of them
            return given
        if ids:
            raise ValueError(
                f"file_name {name!r} is that of {len(ids)} of the ground truth's images, and "
                f"image_id {given!r} is none of them; take the names out and give the ids"
            )
        raise ValueError(
            f"file_name {name!r} is none of the ground truth's {len(self._whole)} images"
            f"{_nearest(last, self._last)}; evaluate with the annotations of the images that were "
            "detected on"
        )


class _Classes:
    def __init__(self, ground_truth: GroundTruth) -> None:
        self._ids = {str(each["name"]): each["id"] for each in ground_truth["categories"]}
        self._folded: dict[str, list[Any]] = {}
        for name, class_id in self._ids.items():
            self._folded.setdefault(name.casefold(), []).append(class_id)

    def id_of(self, name: str, given: object) -> Any:
        if name in self._ids:
            return self._ids[name]
        folded = self._folded.get(name.casefold(), [])
        if len(folded) == 1:
            return folded[0]
        raise ValueError(
            f"class_name {name!r} is none of the ground truth's classes{_nearest(name, self._ids)}"
            "; take out the detections of other classes, or class_name where category_id is right"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (the nearest is {near[0]!r})" if near else ""
