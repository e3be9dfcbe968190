"""COCO's format under any file name, as tools and services export it.

A JSON with images, annotations and categories, anywhere under root, or root itself.  Its split is
the one that its name or its folder says: train.json, annotations/labels_valid.json, test/coco.json;
a single file of another name has the one split "all".  The pictures may lie anywhere beside it.
"""

from __future__ import annotations

from pathlib import Path

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import Coco, read_coco
from detection.data.formats.sniff import json_files
from detection.data.formats.splits import FilesOfSplits, by_name


class CocoAny(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = Coco.name

    def parts(self, root: Path) -> dict[str, list[Path]]:
        return by_name(root, json_files(root, "COCO"))

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """Raises ValueError if several files are of this split."""
        files = self.parts(root)[split]
        if len(files) > 1:
            raise ValueError(
                f"{root}: {len(files)} files may be the annotations of {split!r}: "
                f"{', '.join(str(f.relative_to(root)) for f in files)}; pass one of them as DATA"
            )
        base = root if root.is_dir() else _above(files[0].parent)
        return read_coco(
            annotations=files[0],
            images=_images(files[0], base, split) if check_images else None,
            invalid_boxes=invalid_boxes,
            root=base,
            split=split,
        )


def _images(file: Path, base: Path, split: str) -> Path:
    """The folder of the split, since its pictures may be called as those of another one are."""
    folder, above = file.parent, _above(file.parent)
    for place in (folder / split, above / "images" / split, above / split, above / "images"):
        if place.is_dir():
            return place
    return folder if folder.is_dir() else base


def _above(folder: Path) -> Path:
    return folder.parent if folder.name.casefold().startswith("annotation") else folder
