"""Suite `inference`: from the pixels of a batch to its detections, compared with the peers.

Compared first: the features, and the probabilities of the same regions, which may differ only by
rounding.  How many detections agree is a fact of the row: rounding decides between two scores, or
two overlaps, that are nearly equal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from detection.benchmarks.agreement import agreement, relative_difference
from detection.benchmarks.arithmetic import gflop
from detection.benchmarks.measurement import Case
from detection.benchmarks.networks import (
    Peer,
    build_model,
    for_inference,
    inference,
    our_stages,
    peer_inference,
    peers,
    training_config,
)
from detection.benchmarks.pictures import pictures, write_pictures
from detection.data.image import read_image
from detection.data.transforms import Resize
from detection.engine.detect import detect_images
from detection.inference.coco_entries import to_results
from detection.inference.detector import Detector
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch

# Relative to the largest value: float32 rounding in some hundred layers.
TOLERANCE = 1e-3


def cases(
    *,
    device: torch.device,
    overrides: Sequence[str],
    images: int,
    height: int,
    width: int,
    classes: int,
    dtypes: Sequence[str],
    compiled: bool,
    folder_images: int,
    seed: int,
) -> Iterator[list[Case]]:
    """A group of the peers and our network in each of ``dtypes``.

    Our network runs with direct convolutions, on a CPU also with Winograd's, and with
    ``compiled`` also under torch.compile.  A second group reads ``folder_images`` JPEG files and
    makes JSON of their detections; its peer is the network without reading.
    """
    config = training_config(overrides)
    post_processing = instantiate(config.inference.post_processing, _convert_="all")
    model = build_model(config, classes=classes, seed=seed).to(device)
    batch = pictures(images, height, width, seed).to(device)
    others = {name: peer.to(device) for name, peer in peers(model, post_processing).items()}
    exact, fast = (for_inference(model, device, winograd=winograd) for winograd in (False, True))
    networks = {"this": exact}
    if device.type == "cpu":
        networks["this, winograd"] = fast
    for network in networks.values():
        for peer in others.values():
            _compare(network, peer, batch)
    if compiled:
        networks["this, compiled"] = _compiled(for_inference(model, device, winograd=False))
    group: list[Case] = []
    for dtype in dtypes:
        group += _of_type(networks, others, batch, post_processing, dtype)
    yield group
    if folder_images:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_pictures(Path(folder), folder_images, height, width, seed)
            network = networks.get("this, winograd", exact)
            yield _folder_cases(network, config, paths, device, batch_size=images)


def _of_type(
    networks: dict[str, FasterRCNN],
    others: dict[str, Peer],
    batch: ImageBatch,
    post_processing: PostProcessing,
    dtype: str,
) -> list[Case]:
    reference = others["torchvision as C4"]
    expected = peer_inference(reference, batch, "float32")()
    operations = gflop(peer_inference(reference, batch, dtype))
    result = [
        Case(
            name, dtype, peer_inference(peer, batch, dtype), peer=True, gflop=operations,
            items=len(batch), stages=peer.stages(),
        )
        for name, peer in others.items()
    ]  # fmt: skip
    for name, network in networks.items():
        if dtype != "float32" and name == "this, winograd":
            continue
        run = inference(network, batch, post_processing, dtype)
        found = run()
        facts = {
            "detections": sum(map(len, found)),
            "agreement_with_torchvision_float32": agreement(found, expected),
        }
        result.append(
            Case(
                name, dtype, run, gflop=operations, items=len(batch),
                stages=our_stages(network), facts=facts,
            )
        )  # fmt: skip
    return result


def _folder_cases(
    network: FasterRCNN,
    config: DictConfig,
    paths: list[Path],
    device: torch.device,
    *,
    batch_size: int,
) -> list[Case]:
    """The ratio is the fraction of the network's throughput that remains, in [0, 1]."""
    shorter = min(read_image(paths[0]).shape[:2])
    detector = Detector(
        models=[network],
        class_names=[f"class {i}" for i in range(network.roi_head.num_classes)],
        category_ids=range(1, network.roi_head.num_classes + 1),
        resize=Resize(shorter_sides=[shorter], longest=10 * shorter),
        inference=instantiate(config.inference, _convert_="all"),
        device=device,
        precision="fp32",
    )
    images = [read_image(path) for path in paths]

    def alone() -> None:
        for i in range(0, len(images), batch_size):
            detector.detect_arrays(images[i : i + batch_size])

    def to_json() -> str:
        results = []
        photos = detect_images(detector.detect_arrays, paths, batch_size=batch_size, readers=2)
        for number, photo in enumerate(photos):
            results += list(to_results(photo.detections, number, detector.category_ids))
        return json.dumps(results)

    return [
        Case("network alone, pictures in memory", "float32", alone, peer=True, items=len(paths)),
        Case("folder, JPEG to JSON", "float32", to_json, items=len(paths)),
    ]


def _compiled(network: FasterRCNN) -> FasterRCNN:
    """With the features and conv5 compiled, each for fixed shapes."""
    backbone = network.backbone
    for name in ("features", "region_features"):
        vars(backbone)[name] = torch.compile(getattr(backbone, name), dynamic=False)
    return network


@torch.inference_mode()
def _compare(network: FasterRCNN, peer: Peer, batch: ImageBatch) -> None:
    """Raises AssertionError if features or probabilities differ by more than rounding."""
    features, proposals = network.propose(batch)
    theirs = peer.features(batch)
    _check("features", features, theirs)
    regions = [one.boxes[:8] for one in proposals]
    ours = network.classify(theirs, regions, batch.sizes)
    expected = peer.probabilities(theirs, regions)
    _check("probabilities", torch.cat([prediction.probabilities for prediction in ours]), expected)


def _check(name: str, ours: Tensor, theirs: Tensor) -> None:
    difference = relative_difference(ours, theirs)
    if not difference <= TOLERANCE:
        raise AssertionError(f"{name} are off the peer's by {difference:.2g} of the largest")
