"""Runs the RPN over a data set: proposals on disk, and their recall."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from detection.data.dataset import DetectionDataset, Example
from detection.data.proposals_file import ProposalsFile, ProposalsWriter
from detection.data.transforms import to_batch_pixels
from detection.engine.distributed import Processes
from detection.engine.evaluate import image_batches
from detection.evaluation.proposal_recall import TOPS, ImageProposals, proposal_recall
from detection.inference.detector import Detector
from detection.model.proposals import ProposalSelection
from detection.precision import autocast
from detection.structures import ImageBatch, Proposals

IMAGES_PER_SHARD = 4000  # an interruption costs the work on so many at most


def propose_dataset(
    detector: Detector,
    dataset: DetectionDataset,
    *,
    selection: ProposalSelection,
    batch_size: int,
    workers: int,
) -> Iterator[tuple[Example, Proposals]]:
    """Each image of ``dataset`` and the RPN's proposals in its own pixels, on the CPU.

    The proposals lie inside the image.
    ``selection``: which of them, instead of the model's own two selections.
    """
    model = detector.model.eval()
    resize = functools.partial(detector.resize, shorter=detector.resize.shorter_sides[0])
    with (
        torch.inference_mode(),
        autocast(detector.device, detector.precision),
    ):
        for examples, resized in image_batches(
            dataset, resize, batch_size=batch_size, workers=workers, what="proposing"
        ):
            sizes = [(image.shape[0], image.shape[1]) for image in resized]
            images = ImageBatch(to_batch_pixels(resized), sizes).to(detector.device)
            found: dict[int, Proposals] = {}
            for places, group in images.of_one_size():
                features = model.features(group)
                logits, deltas = model.rpn(features)
                anchors = model.anchors(features)
                proposed = model.rpn.propose(logits, deltas, anchors, group.sizes, selection)
                found.update(zip(places, proposed, strict=True))
            for place, (example, size) in enumerate(zip(examples, sizes, strict=True)):
                yield example, found[place].in_original(size, example.size)


def write_proposals(
    path: Path,
    detector: Detector,
    dataset: DetectionDataset,
    *,
    batch_size: int,
    workers: int,
    processes: Processes,
) -> None:
    """Writes the proposals that Fast R-CNN trains on, as many as in joint training.

    They are written in shards beside ``path``, which are joined at the end.  Shards that an
    interrupted call has left are not computed again.  The processes divide the shards among them:
    all must call this.
    """
    selection = detector.model.rpn.training_proposals
    rounds = max(1, math.ceil(len(dataset) / (IMAGES_PER_SHARD * processes.world_size)))
    count = rounds * processes.world_size
    digest = _digest(detector, selection, dataset)
    shards = {
        path.with_name(f"{path.stem}.{digest}.{number}of{count}{path.suffix}"): replace(
            dataset, examples=dataset.examples[number - 1 :: count]
        )
        for number in range(1, count + 1)
    }
    for shard, images in list(shards.items())[processes.rank :: processes.world_size]:
        if shard.is_file():
            continue
        writer = ProposalsWriter()
        for example, proposals in propose_dataset(
            detector, images, selection=selection, batch_size=batch_size, workers=workers
        ):
            writer.add(example, proposals)
        writer.save(shard)
    processes.wait()
    if processes.is_first:
        _join(path, shards)
        # All shards, also those of an earlier call that was not finished.
        left = re.compile(rf"{re.escape(path.stem)}\.\w{{12}}\.\d+of\d+{re.escape(path.suffix)}")
        for other in path.parent.iterdir():
            if left.fullmatch(other.name):
                other.unlink()
    processes.wait()


def _digest(detector: Detector, selection: ProposalSelection, dataset: DetectionDataset) -> str:
    """Distinguishes the shards of this detector and data set from those of others."""
    rules = (selection, detector.resize, detector.precision, repr(detector.model))
    digest = hashlib.sha256(repr(rules).encode())
    for example in dataset.examples:
        digest.update(f"{example.image_id} {example.path}\n".encode())
    for tensor in detector.model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _join(path: Path, shards: Mapping[Path, DetectionDataset]) -> None:
    writer = ProposalsWriter()
    for shard, images in shards.items():
        proposals = ProposalsFile(shard, images)
        for example in images.examples:
            writer.add(example, proposals.read(example))
    writer.save(path)


def measure_proposals(
    detector: Detector, dataset: DetectionDataset, *, batch_size: int, workers: int
) -> dict[str, float | None]:
    """The recall of the RPN's proposals; see :mod:`detection.evaluation.proposal_recall`."""
    rule = detector.model.rpn.test_proposals
    # The best 300 are the first of the best 1,000: NMS goes down the list.
    before = rule.before_nms and max(rule.before_nms, TOPS[-1])
    most = replace(rule, before_nms=before, after_nms=TOPS[-1])
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
    by_image = {example.image_id: ImageProposals.of(proposals) for example, proposals in found}
    return proposal_recall(dataset.to_coco(), by_image)
