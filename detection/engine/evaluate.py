"""Runs a detector over a data set, and measures what it found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from detection.data.dataset import DetectionDataset, Example
from detection.data.formats.open import FORMATS, open_dataset
from detection.data.image import read_image
from detection.data.loader import check_size
from detection.data.proposals_file import ProposalsFile
from detection.data.workers import in_order
from detection.evaluation.coco_ap import CocoAP, evaluate_coco
from detection.evaluation.coco_arrays import Detection, GroundTruth
from detection.evaluation.no_ap import explain
from detection.evaluation.proposal_recall import ImageProposals
from detection.evaluation.table import per_class_table
from detection.evaluation.voc_ap import VocAP, evaluate_voc
from detection.inference.coco_entries import to_results
from detection.inference.detector import Detector
from detection.structures import Proposals
from detection.user_path import user_path

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Scores:
    """COCO's and VOC's numbers of the same detections.

    ``notes``: sentences on what makes them 0, "-" or lower than they could be.
    """

    coco: CocoAP
    voc: VocAP
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """For people: COCO's twelve numbers in percent, a row per class, and the notes."""
        numbers = {k: v for k, v in self.coco.as_dict().items() if k != "per_class"}
        line = "  ".join(
            f"{name} {'-' if value is None else format(100 * value, '.1f')}"
            for name, value in numbers.items()
        )
        notes = "".join(f"\n{note}" for note in self.notes)
        return f"COCO: {line}\n\n{per_class_table(self.coco, self.voc)}{notes}"


def measure(
    ground_truth: GroundTruth,
    detections: Sequence[Detection],
    *,
    backend: Literal["hotcoco", "pycocotools"],
) -> Scores:
    """Both metrics; see :mod:`detection.evaluation` for the inputs."""
    voc = evaluate_voc(ground_truth, detections)
    return Scores(
        coco=evaluate_coco(ground_truth, detections, backend=backend),
        voc=voc,
        notes=explain(ground_truth, detections, voc),
    )


def evaluate(
    detector: Detector,
    data: Path | str,
    *,
    split: str | Sequence[str] = "val",
    batch_size: int = 1,
    workers: int = 0,
    backend: Literal["hotcoco", "pycocotools"] = "hotcoco",
) -> Scores:
    """Measures a detector on a split of a data set's folder, with COCO's and VOC's metrics.

    ``split``: one, or several as one data set.  ``workers``: processes that read the images.
    Raises ValueError for a split without annotations, and for classes other than the detector's.

    >>> from detection import Detector, evaluate
    >>> scores = evaluate(Detector.load("best.pt"), "data")
    >>> 0 <= scores.coco.as_dict()["AP50"] <= 1
    True
    """
    dataset = open_dataset(
        root=user_path(data),
        split=split,
        classes=None,
        invalid_boxes="error",
        check_images=True,
        formats=FORMATS,
    )
    if not dataset.annotated:
        raise ValueError(f"{dataset.source} is not annotated: choose another split")
    dataset = dataset.with_class_names(detector.class_names)
    found = detect_dataset(detector, dataset, batch_size=batch_size, workers=workers)
    return measure(dataset.to_coco(), found, backend=backend)


class _TestImages(Dataset[Prepared]):
    """Images read and resized in worker processes while the network works on earlier ones."""

    def __init__(
        self, examples: Sequence[Example], prepare: Callable[[NDArray[np.uint8]], Prepared]
    ) -> None:
        self.examples = examples
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Prepared:
        example = self.examples[index]
        image = read_image(example.path)
        check_size(image, example)
        return self.prepare(image)


def image_batches(
    dataset: DetectionDataset,
    prepare: Callable[[NDArray[np.uint8]], Prepared],
    *,
    batch_size: int,
    workers: int,
    what: str,
) -> Iterator[tuple[list[Example], list[Prepared]]]:
    """The images of ``dataset``, each out of ``prepare``, under a progress bar called ``what``."""
    # Images of one shape go through the network together: similar ones lie side by side.
    examples = sorted(dataset.examples, key=lambda example: example.size[0] / example.size[1])
    loader = in_order(_TestImages(examples, prepare), batch_size=batch_size, workers=workers)
    remaining = iter(examples)
    # In a file a line of the bar is seldom.
    seconds = 0.1 if sys.stderr.isatty() else 30.0
    with tqdm(total=len(examples), unit="img", desc=what, leave=False, mininterval=seconds) as bar:
        for images in loader:
            yield [next(remaining) for _ in images], images
            bar.update(len(images))


def detect_dataset(
    detector: Detector,
    dataset: DetectionDataset,
    *,
    batch_size: int,
    workers: int,
    proposals: ProposalsFile | None = None,
    taken: dict[int, ImageProposals] | None = None,
    between_batches: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Detections in all images of ``dataset``: a COCO results list.

    Entries have ``image_id``, ``category_id`` (of ``dataset``), ``bbox`` [x, y, width, height] in
    pixels of the original image, and ``score``.  The classes must be the detector's:
    ``dataset.with_class_names(detector.class_names)``.
    ``proposals``: used instead of the RPN's: the best of each image, as many as the (first)
    model's RPN would give.
    ``taken``: image id -> the proposals of one model's RPN that were classified; filled here.
    ``between_batches``: called after each mini-batch.
    """
    assert dataset.class_names == detector.class_names
    most = detector.models[0].rpn.test_proposals.after_nms
    results: list[dict[str, Any]] = []
    for examples, images in image_batches(
        dataset, detector.preparation, batch_size=batch_size, workers=workers, what="detecting"
    ):
        sizes = [example.size for example in examples]
        given = None if proposals is None else [proposals.read(e, most).boxes for e in examples]
        own: list[Proposals] | None = None if taken is None else []
        found = detector.detect_prepared(images, sizes, given, taken=own)
        if taken is not None and own:
            pairs = zip(examples, map(ImageProposals.of, own), strict=True)
            taken.update({example.image_id: proposed for example, proposed in pairs})
        for example, detections in zip(examples, found, strict=True):
            results.extend(to_results(detections, example.image_id, dataset.category_ids))
        if between_batches is not None:
            between_batches()
    return results
