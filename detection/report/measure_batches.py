"""What the page says of mini-batches: each picture as the network gets it, with its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detection.data.batch_plan import Key
from detection.data.loader import TrainingImages
from detection.report.batch_record import ConsumedPicture
from detection.report.data_content import ShownPicture
from detection.report.measure_data import MOST_BOXES, counted
from detection.report.shown_boxes import (
    anchor_facts,
    batch_objects,
    region_facts,
    sampled_anchors,
    sampled_regions,
)
from detection.report.small_copy import small_copy


@dataclass(frozen=True, kw_only=True)
class Asked:
    """``anchors``, ``regions``: whether these are shown.  ``characters``: of a picture's copy."""

    anchors: bool
    regions: bool
    characters: int


def batch_pictures(
    number: int,
    keys: Sequence[Key],
    pictures: Sequence[ConsumedPicture],
    images: TrainingImages,
    asked: Asked,
) -> list[ShownPicture]:
    """Mini-batch ``number``, from 1 on, of ``images``; ``keys``: of each."""
    return [
        _picture(f"mini-batch {number}", key, picture, images, asked)
        for key, picture in zip(keys, pictures, strict=True)
    ]


def _picture(
    choice: str, key: Key, picture: ConsumedPicture, images: TrainingImages, asked: Asked
) -> ShownPicture:
    epoch, index = key[:2]
    example, names = images.dataset.examples[index], images.dataset.class_names
    drawn = images.drawn(key)
    height, width = picture.pixels.shape[:2]
    valid_height, valid_width = picture.size
    done = ", flipped" if drawn.flipped else ""
    if drawn.region is not None:
        done += ", a part of it"
    facts = [
        f"{example.path}, epoch {epoch + 1}",
        f"{example.size[1]} × {example.size[0]} pixels became {valid_width} × {valid_height}"  # noqa: RUF001
        + (", flipped" if drawn.flipped else ", not flipped"),
    ]
    if drawn.region is not None:
        facts.append("the part of it from {}, {} to {}, {}".format(*drawn.region))
    if drawn.colours is not None:
        changed = zip(("brightness", "contrast", "saturation"), drawn.colours, strict=True)
        facts.append(", ".join(f"{what} times {factor:.2f}" for what, factor in changed))
    if (height, width) != picture.size:
        facts.append(f"padded to {width} × {height}")  # noqa: RUF001
    if asked.anchors:
        facts += anchor_facts(picture)
    if asked.regions:
        facts += region_facts(picture)
    return ShownPicture(
        file_name=example.path.name,
        width=width,
        height=height,
        jpeg=small_copy(picture.pixels.cpu().numpy(), asked.characters),
        choice=choice,
        note=f"{counted(len(picture.target.labels), 'object')}{done}",
        objects=batch_objects(picture, names)[:MOST_BOXES],
        anchors=sampled_anchors(picture, names) if asked.anchors else [],
        regions=sampled_regions(picture, names) if asked.regions else [],
        facts=facts,
    )
