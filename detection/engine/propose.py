"""Runs the RPN over a data set, and Fast R-CNN on proposals that are already there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detection import boxes as box_ops
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.data.loader import check_size
from detection.data.proposals_file import ProposalsFile, ProposalsWriter
from detection.data.transforms import Resize, to_batch_pixels
from detection.engine.distributed import Processes
from detection.engine.evaluate import to_results
from detection.evaluation.proposal_recall import TOPS, ImageProposals, proposal_recall
from detection.inference.detector import Detector
from detection.model.rpn import ProposalSelection
from detection.structures import Detections, ImageBatch, Proposals


class _Images(Dataset[np.ndarray]):
    def __init__(self, examples: list[Example], resize: Resize) -> None:
        self.examples = examples
        self.resize = resize

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> np.ndarray:
        example = self.examples[index]
        image = read_image(example.path)
        check_size(image, example)
        return self.resize(image, self.resize.shorter_sides[0])


def _batches(
    detector: Detector, dataset: DetectionDataset, *, batch_size: int, workers: int, what: str
) -> Iterator[tuple[list[Example], ImageBatch]]:
    """The images of ``dataset``, resized, on the detector's device, and under its precision."""
    # Alike shapes side by side: the least padding.
    examples = sorted(dataset.examples, key=lambda example: example.size[0] / example.size[1])
    loader = DataLoader(
        _Images(examples, detector.resize),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )
    remaining = iter(examples)
    detector.model.eval()
    with ExitStack() as around:
        bar = around.enter_context(tqdm(total=len(examples), unit="img", desc=what, leave=False))
        around.enter_context(torch.inference_mode())
        around.enter_context(
            torch.autocast(
                detector.device.type, torch.bfloat16, enabled=detector.precision == "bf16"
            )
        )
        for images in loader:
            sizes = [(image.shape[0], image.shape[1]) for image in images]
            batch = ImageBatch(to_batch_pixels(images), sizes).to(detector.device)
            yield [next(remaining) for _ in images], batch
            bar.update(len(images))


def propose_dataset(
    detector: Detector,
    dataset: DetectionDataset,
    *,
    selection: ProposalSelection,
    batch_size: int,
    workers: int,
) -> Iterator[tuple[Example, Proposals]]:
    """Each image of ``dataset`` and the RPN's proposals in its own pixels, on the CPU.

    ``selection``: how many, in place of the model's own two selections.
    """
    model = detector.model
    for examples, images in _batches(
        detector, dataset, batch_size=batch_size, workers=workers, what="proposing"
    ):
        features = model.features(images)
        logits, deltas = model.rpn(features)
        found = model.rpn.propose(logits, deltas, model.anchors(features), images.sizes, selection)
        for example, size, proposals in zip(examples, images.sizes, found, strict=True):
            boxes = box_ops.rescale(proposals.boxes, size, example.size)
            yield example, Proposals(boxes.cpu(), proposals.logits.cpu())


def write_proposals(
    path: Path,
    detector: Detector,
    dataset: DetectionDataset,
    *,
    batch_size: int,
    workers: int,
    own: Processes,
) -> None:
    """Writes the proposals that Fast R-CNN trains on, as many as in joint training.

    The processes share the images between them; all must call this.
    """
    selection = detector.model.rpn.training_proposals
    share = replace(dataset, examples=dataset.examples[own.rank :: own.world_size])
    writer = ProposalsWriter()
    for example, proposals in propose_dataset(
        detector, share, selection=selection, batch_size=batch_size, workers=workers
    ):
        writer.add(example, proposals)
    if own.world_size == 1:
        writer.save(path)
        return
    writer.save(_share_path(path, own.rank))
    dist.barrier()
    if own.is_first:
        _join(path, dataset, own.world_size)
    dist.barrier()


def _share_path(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.stem}.{rank}{path.suffix}")


def _join(path: Path, dataset: DetectionDataset, shares: int) -> None:
    writer = ProposalsWriter()
    for rank in range(shares):
        share = replace(dataset, examples=dataset.examples[rank::shares])
        proposals = ProposalsFile(_share_path(path, rank), share)
        for example in share.examples:
            writer.add(example, proposals.read(example))
    writer.save(path)
    for rank in range(shares):
        _share_path(path, rank).unlink()


def measure_proposals(
    detector: Detector, dataset: DetectionDataset, *, batch_size: int, workers: int
) -> dict[str, float | None]:
    """The recall of the RPN's proposals; see :mod:`detection.evaluation.proposal_recall`."""
    rule = detector.model.rpn.test_proposals
    # The best 300 are the first of the best 1,000: NMS goes down the list.
    most = replace(rule, before_nms=max(rule.before_nms, TOPS[-1]), after_nms=TOPS[-1])
    found = propose_dataset(
        detector, dataset, selection=most, batch_size=batch_size, workers=workers
    )
    return _recall(dataset, found)


def measure_file(proposals: ProposalsFile, dataset: DetectionDataset) -> dict[str, float | None]:
    """The recall of the proposals in a file."""
    return _recall(dataset, ((e, proposals.read(e, TOPS[-1])) for e in dataset.examples))


def _recall(
    dataset: DetectionDataset, found: Iterable[tuple[Example, Proposals]]
) -> dict[str, float | None]:
    by_image = {
        example.image_id: ImageProposals(
            box_ops.to_coco(proposals.boxes.numpy()), proposals.logits.numpy()
        )
        for example, proposals in found
    }
    return proposal_recall(dataset.to_coco(), by_image)


def detect_on_proposals(
    detector: Detector,
    dataset: DetectionDataset,
    proposals: ProposalsFile,
    *,
    batch_size: int,
    workers: int,
) -> list[dict[str, Any]]:
    """Fast R-CNN alone: detections on proposals out of a file, as many as the RPN would give.

    A COCO results list like :func:`detection.engine.evaluate.detect_dataset`'s.
    """
    assert dataset.class_names == detector.class_names
    model, device = detector.model, detector.device
    most = model.rpn.test_proposals.after_nms
    results: list[dict[str, Any]] = []
    for examples, images in _batches(
        detector, dataset, batch_size=batch_size, workers=workers, what="detecting"
    ):
        boxes = [
            box_ops.rescale(proposals.read(example, most).boxes, example.size, size).to(device)
            for example, size in zip(examples, images.sizes, strict=True)
        ]
        predictions = model.classify(model.features(images), boxes, images.sizes)
        for example, size, prediction in zip(examples, images.sizes, predictions, strict=True):
            found = detector.inference.post_processing(prediction)
            original = box_ops.rescale(found.boxes, size, example.size)
            moved = Detections(original, found.scores, found.labels).cpu()
            results.extend(to_results(moved, example.image_id, dataset.category_ids))
    return results
