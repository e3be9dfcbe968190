"""VOC's comp4 files of detections (development kit, section 8.2).

One text file for each class, ``comp4_det_<image set>_<class>.txt``, with a line for each detection:
image name, score, and the 1-based inclusive corners xmin ymin xmax ymax.  An image's name is its
file name without folder and suffix.

Others call the files comp3_det_..., comp4_<salt>_det_..., det_<image set>_<class>.txt or
<class>.txt, and write names with suffixes: these are read as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection import boxes
from detection.evaluation.coco_arrays import (
    Detection,
    GroundTruth,
    Objects,
    detection_arrays,
    object_arrays,
)

_log = logging.getLogger(__name__)

# Pixels.  Corners in decimals may turn an empty box inside out by a rounding error; a box that is
# wrong is so by more.
ROUNDING = 1e-4
# Malformed lines that a message lists.
_SHOWN = 10


def read_voc_detections(
    folder: Path, ground_truth: GroundTruth, *, repair: bool = False
) -> list[dict[str, Any]]:
    """The detections in a folder's comp4 files, class by class in the order of the lines.

    A class of the ground truth that has no file has no detections, which is logged.
    ``repair``: whether malformed lines are left out, which is logged as well.
    Raises ValueError, naming file and line, for a folder without such files, an unknown class, two
    files of one class, an unknown image and malformed lines.
    """
    objects = object_arrays(ground_truth)
    class_ids = dict(zip(objects.class_names, objects.class_index, strict=True))
    image_ids = _image_ids(ground_truth)
    files = _comp4_files(folder, objects)
    absent = [name for name in objects.class_names if name not in files]
    if absent:
        _log.warning("%s: no file, so no detections, for %s", folder, ", ".join(absent))
    broken: list[str] = []
    found = [
        detection
        for name, path in files.items()
        for detection in _read_comp4(path, class_ids[name], image_ids, broken)
    ]
    if not broken:
        return found
    shown = "\n  ".join(broken[:_SHOWN])
    more = f"\n  ... and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    said = f"{len(broken)} of {len(found) + len(broken)} lines are no detections:\n  {shown}{more}"
    if not repair:
        raise ValueError(
            f"{folder}: {said}\nCorrect or remove them, or leave them out with "
            "data.invalid_boxes=repair"
        )
    _log.warning("%s: %s\n(left out)", folder, said)
    return found


def write_voc_detections(
    detections: Sequence[Detection], ground_truth: GroundTruth, folder: Path, image_set: str
) -> list[Path]:
    """The inverse of `read_voc_detections`: a file for each class, empty if nothing was found.

    ``folder`` is made if need be.  Coordinates have 6 decimals, scores the 9 digits that tell all
    float32 apart.  Raises ValueError for detections that the ground truth does not know, and for
    a class name that cannot be part of a file name.
    """
    check_voc_names(ground_truth)
    objects = object_arrays(ground_truth)
    arrays = detection_arrays(detections, objects)
    stems = {image_id: stem for stem, image_id in _image_ids(ground_truth).items()}
    image_names = np.array([stems[image_id] for image_id in objects.image_index], dtype=np.object_)
    continuous: NDArray[Any] = arrays.boxes
    corners = boxes.to_voc(boxes.from_coco(continuous))

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, name in enumerate(objects.class_names):
        rows = np.flatnonzero(arrays.classes == number)
        lines = [
            f"{image} {score:.9g} {x1:.6f} {y1:.6f} {x2:.6f} {y2:.6f}\n"
            for image, score, (x1, y1, x2, y2) in zip(
                image_names[arrays.images[rows]],
                arrays.scores[rows].tolist(),
                corners[rows].tolist(),
                strict=True,
            )
        ]
        path = folder / f"comp4_det_{image_set}_{name}.txt"
        path.write_text("".join(lines), encoding="utf-8")
        written.append(path)
    return written


def check_voc_names(ground_truth: GroundTruth) -> None:
    """Raises ValueError for classes and images whose names comp4 files cannot hold."""
    for category in ground_truth["categories"]:
        name = category["name"]
        if "/" in name or "\\" in name:
            raise ValueError(
                f"categories: class name {name!r} cannot be part of a file name; rename the class "
                "or write COCO results"
            )
    _image_ids(ground_truth)


def _image_ids(ground_truth: GroundTruth) -> dict[str, int]:
    """Image name -> id."""
    image_ids: dict[str, int] = {}
    for number, image in enumerate(ground_truth["images"]):
        stem = PurePath(image["file_name"]).stem
        if stem in image_ids:
            raise ValueError(
                f"ground truth: images[{number}]: the name {stem!r} of {image['file_name']!r} "
                "stands for two images, and comp4 files know no folders; rename one or use a "
                "COCO results file"
            )
        image_ids[stem] = image["id"]
    return image_ids


def _comp4_files(folder: Path, objects: Objects) -> dict[str, Path]:
    """Class name -> its file, in the order of the file names."""
    files: dict[str, Path] = {}
    # Both an image set and a class may have "_" in their names: of the classes that end the file
    # name the longest is meant ("traffic_light", not "light").
    longest_first = sorted(objects.class_names, key=len, reverse=True)
    texts = sorted(folder.glob("*.txt"))
    found = [path for path in texts if re.search(r"(^|_)det_", path.name)]
    found = found or [path for path in texts if path.stem in objects.class_names]
    for path in found:
        stem = f"_{path.stem}"  # the whole of it may be the class
        name = next((name for name in longest_first if stem.endswith(f"_{name}")), None)
        if name is None:
            raise ValueError(
                f"{path}: the file name must end with _<class>.txt, the classes are "
                f"{', '.join(objects.class_names)}; rename or remove the file"
            )
        if name in files:
            raise ValueError(
                f"{path}: class {name!r} has a second file, {files[name].name}; keep the image "
                "sets in folders of their own"
            )
        files[name] = path
    if not files:
        raise ValueError(
            f"{folder}: there is no comp4_det_<image set>_<class>.txt in this folder; check the "
            f"path (there are {', '.join(path.name for path in texts[:5]) or 'no .txt files'})"
        )
    return files


def _read_comp4(
    path: Path, category_id: int, image_ids: Mapping[str, int], broken: list[str]
) -> list[dict[str, Any]]:
    """``broken``: gets what is wrong with malformed lines, which are left out."""
    images, scores, rows = [], [], []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, score, corners = _comp4_line(line, f"{path.name}:{number}")
        except ValueError as error:
            broken.append(str(error))
            continue
        known = name if name in image_ids else PurePath(name).stem
        if known not in image_ids:
            raise ValueError(
                f"{path}:{number}: image {name!r} is none of the ground truth's {len(image_ids)} "
                "images; evaluate with the annotations of the images that were detected on"
            )
        images.append(image_ids[known])
        scores.append(score)
        rows.append(corners)
    inclusive: NDArray[Any] = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    continuous = boxes.to_coco(boxes.from_voc(inclusive))
    np.maximum(continuous[:, 2:], 0, out=continuous[:, 2:])  # see ROUNDING
    return [
        {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        for image_id, box, score in zip(images, continuous.tolist(), scores, strict=True)
    ]


def _comp4_line(line: str, where: str) -> tuple[str, float, list[float]]:
    try:
        name, *texts = line.strip().rsplit(maxsplit=5)  # an image's name may have spaces in it
        score, *corners = map(float, texts)
        x1, y1, x2, y2 = corners
    except ValueError:
        raise ValueError(
            f"{where}: a line is 'image score xmin ymin xmax ymax', this one is {line!r}"
        ) from None
    # Of inclusive corners, equal ones are one pixel wide and xmax = xmin - 1 is an empty box.
    negative = min(x2 - x1, y2 - y1) + 1 < -ROUNDING
    if negative or not all(map(isfinite, (score, *corners))):
        raise ValueError(
            f"{where}: score and corners must be finite, xmax >= xmin and ymax >= ymin, the line "
            f"is {line!r}"
        )
    return name, score, corners
