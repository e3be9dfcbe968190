"""What the evaluation servers of the challenges take: a packed file of detections in a test set.

PASCAL VOC: comp4 files in a .tar.gz (development kit, section 4).  COCO: a results file in a .zip
(https://cocodataset.org/#upload).
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from detection.atomic_write import atomic_write
from detection.evaluation.coco_arrays import Detection, GroundTruth
from detection.evaluation.voc_comp4 import check_voc_names, write_voc_detections


def check_submission(
    server: str,
    ground_truth: GroundTruth,
    *,
    source: Path,
    method: str,
    max_images: int | None,
) -> None:
    """Checks what could not be packed in the end, before the work of detecting.

    ``server``, ``source``, ``method``: see :func:`write_submission`.
    ``max_images``: how many of the images are detected in; None: all.
    Raises ValueError if the server would not take it.
    """
    if max_images is not None:
        raise ValueError(
            f"max_images={max_images} with submission={server}: a server takes "
            "the detections in all images; leave one of them out"
        )
    if server == "coco":
        check_method(method)
    else:
        check_voc_names(ground_truth)
        voc_challenge(source)


def write_submission(
    server: str,
    detections: Sequence[Detection],
    ground_truth: GroundTruth,
    folder: Path,
    *,
    split: str | Sequence[str],
    source: Path,
    method: str,
) -> Path:
    """Writes what ``server``, "voc" or "coco", takes into ``folder``; returns the packed file.

    ``split``: as the data set calls it, "VOC2012/test".  ``source``: where the data set lies.
    ``method``: a name for the detector, which COCO asks for.
    """
    if server == "coco":
        return write_coco_submission(detections, folder, image_set=image_set(split), method=method)
    files = write_voc_detections(detections, ground_truth, folder / "comp4", image_set(split))
    path = folder / "results.tar.gz"
    write_voc_submission(files, path, year=voc_challenge(source))
    return path


def image_set(split: str | Sequence[str]) -> str:
    """ "VOC2012/test" -> "test"; of several splits, their names with their folders."""
    if isinstance(split, str):
        return split.rpartition("/")[2]
    return "+".join(name.replace("/", "-") for name in split)


def voc_challenge(source: Path) -> str:
    """The challenge, "VOC2012", from the folders that the data set ``source`` lies in."""
    years = re.findall(r"VOC20\d\d", str(source.absolute()))
    if not years:
        raise ValueError(
            f"{source}: no folder VOC20xx in it says which challenge submission=voc is "
            "for; keep the data set in one, as VOCdevkit does"
        )
    return str(years[-1])


def write_voc_submission(files: Sequence[Path], path: Path, *, year: str) -> None:
    """Packs the comp4 files of a test set into the .tar.gz that the VOC evaluation server takes.

    ``year``: the challenge, "VOC2012"; the files lie in results/<year>/Main/ (development kit,
    section 4).
    """
    with atomic_write(path) as partial, tarfile.open(partial, "w:gz") as archive:
        for file in files:
            archive.add(file, f"results/{year}/Main/{file.name}")


def write_coco_submission(
    detections: Sequence[Detection], folder: Path, *, image_set: str, method: str
) -> Path:
    """Writes the .zip that COCO's evaluation server takes; returns its path.

    ``image_set``: as COCO names it, "test-dev2015".  ``method``: a name for the detector.
    """
    check_method(method)
    name = f"detections_{image_set}_{method}_results"
    records = json.dumps([dict(detection) for detection in detections], allow_nan=False)
    path = folder / f"{name}.zip"
    with (
        atomic_write(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(f"{name}.json", records)
    return path


def check_method(method: str) -> None:
    """Raises ValueError for a name that COCO's submission file cannot have."""
    if not re.fullmatch(r"[\w.-]+", method):
        raise ValueError(
            f"submission_name {method!r} becomes part of a file's name: letters, digits, - and _"
        )
