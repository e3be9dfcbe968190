"""The pictures that the images of a COCO file name."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from detection.data.findings import Findings, collect
from detection.data.formats.coco_entries import Entry
from detection.data.formats.file_names import FileNames


def find_images(
    images: dict[Hashable, Entry],
    folder: Path,
    root: Path | None,
    path: Path,
    findings: Findings,
    *,
    split: str = "",
) -> dict[Hashable, Path]:
    """The picture of each image.  ``folder``, ``root``, ``path``, ``split``: see `coco.read_coco`.

    Raises FileNotFoundError, which names the first that is missing.
    """
    if root is None and not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder of images (for {path}); see datasets/README.md for the "
            "expected tree"
        )
    folders = [folder] if root is None else [folder, root, path.parent]
    files = FileNames(folders=folders, root=root or folder, findings=findings, split=split)
    found = {key: files.find(str(image["file_name"])) for key, image in images.items()}
    others = {name for name, _ in files.refuse_shared(path)}
    missing = [str(images[key]["file_name"]) for key, file in found.items() if file is None]
    if missing and not collect(f"{path}: no picture {name} in {folder}" for name in missing):
        nearest = files.nearest(missing[0])
        raise FileNotFoundError(
            f"{path}: {len(missing)} of {len(found)} images are not in {folder}"
            f"{' or elsewhere in ' + str(root) if root else ''}, the first is {missing[0]}"
            f"{f' ({nearest})' if nearest else ''}; "
            "check the folder, or take them out of the annotations"
        )
    return {
        key: file
        for key, file in found.items()
        if file is not None and str(images[key]["file_name"]).strip() not in others
    }
