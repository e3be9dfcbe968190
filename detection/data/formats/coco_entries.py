"""The three lists of a COCO file, entry by entry: what is repaired, and what is refused.

Ids are opaque keys.  One rule compares them everywhere: digits are the integer that they spell
("12" is 12, 12.0 is 12, "012" is a text), everything else is itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.findings import Findings
from detection.data.formats.flags import UNUSED, unused_flags
from detection.data.formats.sizes import Size

Entry = dict[str, Any]

# Entries that lack something are named one by one up to this number, then counted.
_NAMED = 3
REPEATED_ID = "id that several annotations have, which is no matter here"


@dataclass(frozen=True)
class Category:
    """``key``: its id by the rule above."""

    key: Hashable
    name: str
    supercategory: str


def key_of(value: object) -> Hashable:
    """See the rule above.  None for what is no id: null, true, a list."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|-?[1-9]\d*", value.strip()) else value
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def number_of(value: object) -> float | None:
    """The number; digits in a text are one too.  None: neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def require(
    entries: list[Entry], kind: str, keys: tuple[str, ...], path: Path, f: Findings
) -> None:
    """Refuses entries that lack one of ``keys``."""
    for key in keys:
        lacking = [i for i, entry in enumerate(entries) if key not in entry]
        for index in lacking[:_NAMED]:
            f.refuse(f"{path}: {kind}[{index}] (id {entries[index].get('id')!r}) has no {key}")
        if len(lacking) > _NAMED:
            f.refuse(f"{path}: {len(lacking)} of {len(entries)} {kind} have no {key}")


def size_of(
    image: Entry, index: int, path: Path, findings: Findings, *, needed: bool
) -> Size | None:
    """(height, width); None where the file has none, which is refused if it is ``needed``."""
    sides = []
    for key in ("height", "width"):
        value = image.get(key)
        number = number_of(value)
        if isinstance(value, str) and number is not None:
            findings.repaired("digits in quotes", f"image {image['file_name']}, {key} {value!r}")
        absent = number is None and value in (None, "")
        if (number is None and not absent) or (needed and (absent or not number or number < 1)):
            findings.refuse(_bad_size(path, image, index, key))
        sides.append(int(number) if number is not None and 1 <= number < 1e7 else 0)
    return (sides[0], sides[1]) if min(sides) else None


def _bad_size(path: Path, image: Entry, index: int, key: str) -> str:
    if key not in image:
        return f"{path}: images[{index}] (id {image.get('id')!r}) has no {key}"
    where = f"{path}: image {image['file_name']}"
    return f"{where} has {key} {image[key]!r}; expected its number of pixels"


def categories_of(
    content: dict[str, list[Entry]], path: Path, findings: Findings
) -> list[Category]:
    """In ascending order of their ids, or in that of the file if these are no numbers.

    Left out are repeated ones, and those without an annotation that only group others or bear the
    name of one that is used.
    """
    require(content["categories"], "categories", ("id", "name"), path, findings)
    entries = [c for c in content["categories"] if "id" in c and "name" in c]
    all_ = [
        Category(key_of(c["id"]), str(c["name"]).strip(), str(c.get("supercategory") or ""))
        for c in entries
    ]
    for name in dict.fromkeys(str(c["name"]) for c in entries):
        if name != name.strip():
            findings.repaired("class name with blanks around it", f"{name!r} in {path}")
    kept = list({(c.key, c.name): c for c in reversed(all_)}.values())[::-1]
    if len(kept) < len(all_):
        repeated = Counter((c.key, c.name) for c in all_).most_common(1)[0]
        example = f"{repeated[0][1]!r} stands {repeated[1]} times"
        findings.all_repaired("category repeated", [example] * (len(all_) - len(kept)))
    used = {key_of(a.get("category_id")) for a in content["annotations"]}
    kept = _without_groups(kept, used, findings)
    for kind, values in (("id", [c.key for c in kept]), ("name", [c.name for c in kept])):
        if len(set(values)) != len(values):
            findings.refuse(
                f"{path}: two categories have the same {kind}: {values}; rename one, or join them"
            )
    numbers = all(isinstance(c.key, int) for c in kept)
    return sorted(kept, key=lambda c: c.key) if numbers else kept  # type: ignore[arg-type, return-value]


def _without_groups(
    categories: list[Category], used: set[Hashable], findings: Findings
) -> list[Category]:
    unused = [c for c in categories if c.key not in used]
    groups = {
        c.key
        for c in unused
        if any(other is not c and other.supercategory == c.name for other in categories)
    }
    kept = []
    times = Counter(c.name for c in categories if c.key not in groups)
    for category in categories:
        if category.key in groups:
            findings.repaired(
                "category that only groups others, left out",
                f"{category.name!r} (id {category.key!r})",
            )
        elif category.key not in used and times[category.name] > 1:
            times[category.name] -= 1
            findings.repaired("unused category with the name of another, left out", category.name)
        else:
            kept.append(category)
    return kept


def box_of(
    annotation: Entry, size: Size | None, where: str, findings: Findings
) -> list[Any] | None:
    """[x, y, width, height], from the mask where there is no box; None: refused."""
    box = annotation.get("bbox")
    if box is None or box == []:
        found = _box_of_mask(annotation.get("segmentation"), size)
        if found is not None:
            findings.repaired("box missing, taken from the mask", where)
            return found
        if "bbox" in annotation:
            findings.refuse(
                f"{where} has bbox {box}; expected [x, y, width, height], or a mask in segmentation"
            )
        return None
    numbers = [number_of(side) for side in box] if isinstance(box, list) else []
    if len(numbers) != 4 or None in numbers:
        findings.refuse(f"{where} has bbox {box}; expected [x, y, width, height]")
        return None
    if any(isinstance(side, str) for side in box):
        findings.repaired("digits in quotes", f"{where}, bbox {box}")
    return numbers


def _box_of_mask(mask: Any, size: Size | None) -> list[float] | None:
    """Of polygons, one or several, or of run lengths; None if it is neither."""
    if isinstance(mask, dict) and "counts" in mask:
        from pycocotools import mask as masks  # it loads compiled code that few data sets need

        try:
            if isinstance(mask["counts"], list):
                mask = masks.frPyObjects(mask, *(mask.get("size") or size or (0, 0)))
            return [float(side) for side in masks.toBbox(mask)]
        except (KeyError, TypeError, ValueError):
            return None
    if not isinstance(mask, list) or not mask:
        return None
    try:
        polygons = mask if isinstance(mask[0], list) else [mask]
        points = np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in polygons])
    except (TypeError, ValueError):
        return None
    if len(points) < 2:
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def say_repeated_ids(annotations: list[Entry], findings: Findings) -> None:
    """COCO's own evaluation keeps one of two annotations with the same id, without a word."""
    ids = [key_of(entry["id"]) for entry in annotations if "id" in entry]
    if len(set(ids)) < len(ids):
        for key, times in Counter(ids).items():
            if times > 1:
                findings.repaired(REPEATED_ID, f"{key!r}, {times} times")


def group_by_image(
    annotations: list[Entry],
    keys: dict[Hashable, Entry],
    labels: dict[Hashable, int],
    path: Path,
    findings: Findings,
) -> defaultdict[Hashable, list[Entry]]:
    """The annotations of each image, in the order of the file."""
    grouped: defaultdict[Hashable, list[Entry]] = defaultdict(list)
    quoted = 0
    for annotation in annotations:
        where = f"{path}: annotation {annotation.get('id')!r}"
        if "image_id" not in annotation or "category_id" not in annotation:
            continue  # refused above
        image, category = annotation["image_id"], annotation["category_id"]
        quoted += isinstance(image, str) or isinstance(category, str)
        if key_of(image) not in keys:
            findings.refuse(f"{where} belongs to image id {image!r}, which is not in 'images'")
        elif key_of(category) not in labels:
            findings.refuse(
                f"{where} has category_id {category!r}, which is not in 'categories' "
                f"(ids {list(labels)})"
            )
        else:
            grouped[key_of(image)].append(annotation)
            for name in unused_flags(annotation):
                findings.repaired(UNUSED, f"{name} in {where}")
    if quoted:
        example = f"{quoted} of {len(annotations)} annotations in {path.name}"
        findings.repaired("ids that are texts", example)
    return grouped
