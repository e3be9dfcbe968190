"""Runs the RPN over a data set: proposals on disk, and their recall."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from detection import boxes as box_ops
from detection.data.dataset import DetectionDataset, Example
from detection.data.proposals_file import ProposalsFile, ProposalsWriter
from detection.data.transforms import to_batch_pixels
from detection.engine.distributed import Processes
from detection.engine.evaluate import image_batches
from detection.evaluation.proposal_recall import TOPS, ImageProposals, proposal_recall
from detection.inference.detector import Detector
from detection.model.rpn import ProposalSelection
from detection.structures import ImageBatch, Proposals


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
    model = detector.model.eval()
    resize = functools.partial(detector.resize, shorter=detector.resize.shorter_sides[0])
    with (
        torch.inference_mode(),
        torch.autocast(detector.device.type, torch.bfloat16, enabled=detector.precision == "bf16"),
    ):
        for examples, resized in image_batches(
            dataset, resize, batch_size=batch_size, workers=workers, what="proposing"
        ):
            sizes = [(image.shape[0], image.shape[1]) for image in resized]
            images = ImageBatch(to_batch_pixels(resized), sizes).to(detector.device)
            features = model.features(images)
            logits, deltas = model.rpn(features)
            found = model.rpn.propose(logits, deltas, model.anchors(features), sizes, selection)
            for example, size, proposals in zip(examples, sizes, found, strict=True):
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
    own.wait()
    if own.is_first:
        _join(path, dataset, own.world_size)
    own.wait()


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
