"""The pictures of a report: those with the most mistakes, with the most missed, and random ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.dataset import DetectionDataset
from detection.data.image import read_image
from detection.evaluation.mistakes import Mistakes
from detection.evaluation.picture_matches import PictureMatches
from detection.report.content import Choice, DrawnBox, Picture
from detection.report.small_copy import small_copy

# Pictures of each choice.
MOST = 24
SEED = 1
# Characters of all pictures together: the page stays below 20 MB with all that it says besides.
CHARACTERS = 12_000_000
# Detections are shown from this part of the report's score on, so that the page can ask for more.
LOWER = 1 / 3
# Of a picture: those above the score are all shown, unless there are very many.
DETECTIONS, MANY = 50, 300


@dataclass(frozen=True)
class Gallery:
    """``unreadable``: why pictures are not in it.  ``shortened``: those with boxes left out."""

    pictures: list[Picture]
    unreadable: list[str]
    shortened: int

    def notes(self) -> list[str]:
        """For the page."""
        found = []
        if self.unreadable:
            found.append(
                f"{len(self.unreadable)} pictures of the gallery could not be read, the first: "
                f"{self.unreadable[0]}"
            )
        if self.shortened:
            found.append(
                f"{self.shortened} pictures of the gallery have more than {MANY} objects, or "
                f"detections: the first {MANY} are drawn"
            )
        return found


def gallery(dataset: DetectionDataset, mistakes: Mistakes, *, most: int = MOST) -> Gallery:
    """``mistakes``: of the detections in ``dataset``.  ``most``: pictures of each choice.

    A picture is chosen once, for the first reason that holds.
    """
    examples = {example.image_id: example for example in dataset.examples}
    # The matches' classes are numbered in the order of their ids.
    names = [
        name for _, name in sorted(zip(dataset.category_ids, dataset.class_names, strict=True))
    ]
    # Where nothing is right no score says from where on a detection is worth a look.
    lowest = min(mistakes.score, LOWER * mistakes.score) if mistakes.any_right else -math.inf
    chosen = choose(mistakes, most)
    share = CHARACTERS // max(1, len(chosen))
    pictures, unreadable = [], []
    shortened = 0
    for image_id, choice in chosen.items():
        example, matches = examples[image_id], mistakes.matches[image_id]
        try:
            image = read_image(example.path, strict=False)
        except (OSError, ValueError) as error:
            unreadable.append(str(error))
            continue
        objects = list(_objects(matches, mistakes.score, names))
        detections = list(_detections(matches, mistakes.score, names, lowest))
        shortened += max(len(objects), len(detections)) > MANY
        pictures.append(
            Picture(
                file_name=example.path.name,
                width=example.size[1],
                height=example.size[0],
                jpeg=small_copy(image, share),
                choice=choice,
                mistakes=mistakes.per_picture[image_id],
                objects=objects[:MANY],
                detections=detections[:MANY],
            )
        )
    return Gallery(pictures, unreadable, shortened)


def choose(mistakes: Mistakes, most: int) -> Mapping[int, Choice]:
    """Image id -> why it is shown: the worst first, then by missed objects, then the random."""
    chosen: dict[int, Choice] = dict.fromkeys(mistakes.worst_pictures(most), "most mistakes")
    missed = {
        image_id: sum(end == "missed" for end, _ in matches.objects_at(mistakes.score))
        for image_id, matches in mistakes.matches.items()
        if image_id not in chosen
    }
    ordered = sorted((i for i in missed if missed[i]), key=lambda i: (-missed[i], i))
    chosen |= dict.fromkeys(ordered[:most], "missed objects")
    left = [image_id for image_id in mistakes.matches if image_id not in chosen]
    order = np.random.default_rng(SEED).permutation(len(left)).tolist()
    return {**chosen, **{left[number]: "random" for number in sorted(order[:most])}}


def _objects(matches: PictureMatches, score: float, names: Sequence[str]) -> Iterator[DrawnBox]:
    ends = matches.objects_at(score)
    labels = matches.wanted.tolist()
    for box, label, (end, other) in zip(matches.object_boxes, labels, ends, strict=True):
        yield DrawnBox(
            name=names[label],
            box=_corners(box),
            verdict=end,
            other=None if other is None else names[other],
        )


def _detections(
    matches: PictureMatches, score: float, names: Sequence[str], lowest: float
) -> Iterator[DrawnBox]:
    """From the lowest score on, the surest first."""
    for number, value in enumerate(matches.scores.tolist()):
        if value < lowest or (number >= DETECTIONS and value < score):
            return
        verdict = str(matches.verdicts[number])
        other = matches.wanted[matches.about[number]] if verdict == "confused" else None
        yield DrawnBox(
            name=names[matches.labels[number]],
            box=_corners(matches.boxes[number]),
            verdict=verdict,  # type: ignore[arg-type]
            score=value,
            other=None if other is None else names[other],
        )


def _corners(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(x, y, width, height) -> corners, to a tenth of a pixel."""
    x1, y1, x2, y2 = (round(value, 1) for value in box_ops.from_coco(box[None])[0].tolist())
    return x1, y1, x2, y2
