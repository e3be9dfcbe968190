"""The built-in pictures with one large object each, in the tree of ImageNet's CLS-LOC.

A picture is a window of a scene, 1.1 to 2 times as long as the object in it.

On disk, under one root (see `detection.data.formats.imagenet_loc`)::

    Annotations/CLS-LOC/train/<synset>/<synset>_<index>.xml  val/val_<index>.xml
    Data/CLS-LOC/train/<synset>/<synset>_<index>.JPEG        val/val_<index>.JPEG
    ImageSets/CLS-LOC/train_loc.txt  val.txt
    LOC_synset_mapping.txt
    shapes.json                           the parameters, to recognise the same data again

A classifier learns from Data/CLS-LOC/train.  The synsets are no synsets of WordNet.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detection.shapes.dataset import (
    VERSION,
    add_texts,
    check_splits,
    holds,
    write_jpeg,
    written_whole,
)
from detection.shapes.outlines import CLASS_NAMES
from detection.shapes.scenes import DrawnObject, Recipe, Scene, draw_scene

# The side of a window relative to the longer side of its object: least and most.
CONTEXT = (1.1, 2.0)
SYNSETS = {name: f"n{number:08d}" for number, name in enumerate(CLASS_NAMES, start=1)}


def generate_localization(*, root: Path, train: int, val: int, seed: int, image_side: int) -> Path:
    """Writes ``train`` and ``val`` pictures under ``root``; returns ``root``.

    ``image_side``: the longer side of the scenes that pictures are cut out of, 128 pixels or more.
    The rest is as in `detection.shapes.dataset.generate`, and so are the errors.
    """
    recipe = Recipe(
        seed=seed, image_side=image_side, max_objects=1, empty_fraction=0.0, typical_colours=1.0
    )
    splits = {"train": train, "val": val}
    check_splits(splits)
    root = Path(root)
    record = {"version": VERSION, "task": "CLS-LOC", "splits": splits, **asdict(recipe)}
    if holds(root, record):
        return root
    with written_whole(root, record) as data:
        for split, count in splits.items():
            _write_split(data, split, count, recipe)
        mapping = "".join(f"{synset} {name}\n" for name, synset in SYNSETS.items())
        (data / "LOC_synset_mapping.txt").write_text(mapping, encoding="utf-8")
    return root


def _write_split(root: Path, split: str, count: int, recipe: Recipe) -> None:
    names = []
    for index in tqdm(range(count), desc=f"shapes {split}", unit="image", disable=None):
        scene = draw_scene(recipe=recipe, split=split, index=index)
        random = np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index, 1])
        scene = window(scene, random)
        (item,) = scene.objects
        synset = SYNSETS[item.name]
        name = f"{synset}/{synset}_{index}" if split == "train" else f"val_{index:08d}"
        picture = root / "Data" / "CLS-LOC" / split / f"{name}.JPEG"
        annotation = root / "Annotations" / "CLS-LOC" / split / f"{name}.xml"
        for path in (picture, annotation):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_jpeg(picture, scene.image)
        _write_annotation(annotation, scene, item)
        names.append(name)
    lists = root / "ImageSets" / "CLS-LOC"
    lists.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name} {number}\n" for number, name in enumerate(sorted(names), start=1))
    file = "train_loc" if split == "train" else split
    (lists / f"{file}.txt").write_text(lines, encoding="utf-8")


def window(scene: Scene, random: np.random.Generator) -> Scene:
    """A part of a scene of one object, which has all of it."""
    (item,) = scene.objects
    x1, y1, x2, y2 = item.box
    side = round(max(x2 - x1, y2 - y1) * random.uniform(*CONTEXT))
    top, height = _span(y1, y2, side, scene.image.shape[0], random)
    left, width = _span(x1, x2, side, scene.image.shape[1], random)
    box = (x1 - left, y1 - top, x2 - left, y2 - top)
    image = np.ascontiguousarray(scene.image[top : top + height, left : left + width])
    return Scene(image, [replace(item, box=box)])


def _span(
    start: int, end: int, side: int, limit: int, random: np.random.Generator
) -> tuple[int, int]:
    """(first, length) of a stretch of ``side`` pixels around [start, end], within the picture."""
    side = min(side, limit)
    lowest, highest = max(0, end - side), min(start, limit - side)
    return int(random.integers(lowest, highest + 1)), side


def _write_annotation(path: Path, scene: Scene, item: DrawnObject) -> None:
    height, width, depth = scene.image.shape
    annotation = ET.Element("annotation")
    add_texts(annotation, folder="val", filename=path.stem)
    add_texts(ET.SubElement(annotation, "size"), width=width, height=height, depth=depth)
    element = ET.SubElement(annotation, "object")
    add_texts(element, name=SYNSETS[item.name], truncated=int(item.truncated), difficult=0)
    x1, y1, x2, y2 = item.box
    # 0-based, and the last pixel belongs to the object.
    add_texts(ET.SubElement(element, "bndbox"), xmin=x1, ymin=y1, xmax=x2 - 1, ymax=y2 - 1)
    ET.indent(annotation)
    path.write_text(ET.tostring(annotation, encoding="unicode") + "\n", encoding="utf-8")
