"""Fixtures that the whole suite shares."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from omegaconf import DictConfig
from torch import Tensor, nn

from detection.cli import compose, config_folders, from_python
from detection.detector_module import DetectorModule
from detection.model.anchors import Anchors
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import FrozenBN
from detection.model.interfaces import Backbone
from detection.model.pixels import PixelFormat
from detection.model.proposals import ProposalSelection
from detection.model.resnet import ResNet
from detection.model.roi_head import RoIHead
from detection.model.rpn import RPN
from detection.model.targets import RegionSampling
from detection.shapes.dataset import generate
from detection.shapes.outlines import CLASS_NAMES
from detection.structures import ImageBatch, Target
from tests.anchor_sampling import SAMPLING

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a busy machine is no defect.
settings.register_profile("suite", deadline=None, max_examples=50)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def no_weights_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of schedule=auto would look for some."""
    monkeypatch.setattr("detection.weights.first._is_reachable", lambda address: False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device at hand, one after the other."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data and weights, which do not come with the code."""
    folder = os.environ.get("DETECTION_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DETECTION_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def in_two_processes() -> Callable[..., subprocess.CompletedProcess[str]]:
    """(script, *arguments) -> how it ended in two of torchrun's processes, or ``number=4``."""

    def run(*command: str | Path, number: int = 2) -> subprocess.CompletedProcess[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={number}"]
        torchrun += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
        return subprocess.run(
            [*torchrun, *map(str, command)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,  # processes that wait for each other would wait for ever
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )

    return run


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_kept_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _files_are_composed_once() -> Iterator[None]:
    """Of each tool without overrides, with which every call compares: half of the time it takes."""
    read = compose.compose

    @functools.cache
    def without_overrides(config: str, *folders: Path) -> DictConfig:
        return read(config)

    def composed(config: str, overrides: Sequence[str] = ()) -> DictConfig:
        if overrides:
            return read(config, overrides=[*overrides])
        return copy.deepcopy(without_overrides(config, *config_folders.roots()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "compose", composed)
        yield


def randomise_bn(network: nn.Module) -> None:
    """Statistics as after training, so that a BN left out or folded wrongly is seen."""
    for layer in network.modules():
        if isinstance(layer, (FrozenBN, nn.BatchNorm2d)):
            with torch.no_grad():
                layer.weight.uniform_(0.2, 0.6)
                layer.bias.uniform_(-0.3, 0.3)
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(0.5, 2.0)


class TinyBackbone(nn.Module):
    """One convolution for the features and one layer for the regions; counts its calls."""

    stride = 16
    bin_step = 1
    feature_channels = 8
    region_channels = 6
    region_layers = ("per_region",)

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 8, 16, stride=16)
        self.per_region = nn.Conv2d(8, 6, 1)
        self.images: list[int] = []  # in each call
        self.regions: list[int] = []

    def features(self, pixels: Tensor) -> Tensor:
        self.images.append(len(pixels))
        return self.shared(pixels).relu()

    def region_features(self, pooled: Tensor) -> Tensor:
        self.regions.append(len(pooled))
        return self.per_region(pooled).relu().mean(dim=(2, 3))


def build_detector(
    *,
    depth: int = 18,
    stride_in_1x1: bool = False,
    bin_step: int = 1,
    frozen_stages: Sequence[str] = ("conv1", "conv2"),
    backbone: Backbone | None = None,
    tiny: bool = False,
    num_classes: int = 3,
    pooled_size: int = 7,
    regions_at_once: int = 4,
    anchors_per_image: int = 32,
    regions_per_image: int = 16,
    foreground_fraction: float = 0.25,
    cross_boundary: bool = True,
    test_proposals: int = 20,
    context: bool = False,
) -> FasterRCNN:
    """A detector as small as its backbone allows, with anchors for images of about 100 pixels.

    ``tiny``: on a :class:`TinyBackbone`.
    """
    if tiny:
        backbone = TinyBackbone()
    model = FasterRCNN(
        num_classes=num_classes,
        pixels=PixelFormat(order="BGR", mean=[110.0, 115.0, 120.0], std=[60.0, 60.0, 60.0]),
        backbone=backbone
        or ResNet(
            depth=depth,
            stride_in_1x1=stride_in_1x1,
            norm="frozen",
            frozen_stages=frozen_stages,
            bin_step=bin_step,
        ),
        rpn=functools.partial(
            RPN,
            hidden_channels=32,
            anchors=Anchors(
                sizes=[16, 32, 64], aspect_ratios=[0.5, 1, 2], stride=16, centre=8, rounded=False
            ),
            sampling=replace(SAMPLING, per_image=anchors_per_image, cross_boundary=cross_boundary),
            training_proposals=ProposalSelection(
                before_nms=200, nms_iou=0.7, after_nms=50, min_size=0
            ),
            test_proposals=ProposalSelection(
                before_nms=100, nms_iou=0.7, after_nms=test_proposals, min_size=0
            ),
            sigma=3.0,
            init_std=0.01,
        ),
        roi_head=functools.partial(
            RoIHead,
            pooled_size=pooled_size,
            pooling="roi_pool",
            box_weights=[10.0, 10.0, 5.0, 5.0],
            sigma=1.0,
            class_init_std=0.01,
            box_init_std=0.001,
            sampling=RegionSampling(
                per_image=regions_per_image,
                foreground_fraction=foreground_fraction,
                foreground_iou=0.5,
                background_iou=(0.0, 0.5),
                ignore_coverage=0.7,
                divide_by="image",
            ),
        ),
        context=context,
    )
    model.regions_at_once = regions_at_once
    return model


@pytest.fixture(scope="session")
def detector() -> Callable[..., FasterRCNN]:
    """:func:`build_detector`."""
    return build_detector


@pytest.fixture(scope="session")
def with_random_bn() -> Callable[[nn.Module], None]:
    """:func:`randomise_bn`."""
    return randomise_bn


@pytest.fixture(scope="session")
def target() -> Callable[..., Target]:
    """Boxes, and perhaps labels and ignored flags, as lists -> a Target."""

    def build(
        boxes: Sequence[Sequence[float]],
        labels: Sequence[int] | None = None,
        ignored: Sequence[bool] | None = None,
    ) -> Target:
        return Target(
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(labels or [1] * len(boxes), dtype=torch.int64),
            ignored=torch.tensor(ignored or [False] * len(boxes), dtype=torch.bool),
        )

    return build


@pytest.fixture(scope="session")
def image_batch() -> Callable[..., ImageBatch]:
    """(height, width) of each image -> a padded batch of noise; ``seed`` decides the pixels."""

    def build(*sizes: tuple[int, int], seed: int = 0) -> ImageBatch:
        generator = torch.Generator().manual_seed(seed)
        height, width = (max(side) for side in zip(*sizes, strict=True))
        pixels = torch.zeros((len(sizes), height, width, 3), dtype=torch.uint8)
        for image, (h, w) in zip(pixels, sizes, strict=True):
            image[:h, :w] = torch.randint(0, 256, (h, w, 3), generator=generator)
        return ImageBatch(pixels, list(sizes))

    return build


# Of the examples in docs/api.md and in docstrings: a network that takes moments on one core.
SMALL_NETWORK = {
    "model/backbone": "resnet_basic",
    "model.rpn.hidden_channels": 32,
    "model.rpn.training_proposals.after_nms": 32,
    "model.rpn.test_proposals.after_nms": 8,
    "model.roi_head.pooled_size": 4,
    "model.roi_head.sampling.per_image": 8,
    "data.shorter_sides": [96],
    "inference.post_processing.per_image": 10,
}
SMALL_TRAINING = [
    *(
        "model/backbone=resnet_basic",
        "model.backbone.norm=trained",
        "model.backbone.frozen_stages=[]",
    ),
    *("data.shorter_sides=[64]", "schedule.batch_size=2", "model.roi_head.pooled_size=4"),
    *("model.rpn.training_proposals.after_nms=16", "model.rpn.test_proposals.after_nms=4"),
    *("model.roi_head.sampling.per_image=4", "runtime.workers=0", "runtime.device=cpu"),
    *("schedule=paper2015", "schedule.learning_rate.reference=0.00001"),
    "model.rpn.sampling.cross_boundary=true",  # the paper's anchors are larger than the pictures
]


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples take for granted: best.pt (random weights), data/, photo.jpg, photos/."""
    folder = tmp_path_factory.mktemp("examples")
    torch.manual_seed(0)
    DetectorModule.new(CLASS_NAMES, **SMALL_NETWORK).save(folder / "best.pt")
    generate(root=folder / "data", splits={"train": 4, "val": 2}, seed=1, image_side=128)
    shutil.copytree(folder / "data" / "val", folder / "photos")
    shutil.copy(min((folder / "photos").iterdir()), folder / "photo.jpg")
    return folder


@pytest.fixture
def in_example_files(example_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder has a copy of these files; ``train`` takes moments."""
    for entry in example_files.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    composed = from_python.compose_config
    monkeypatch.setattr(
        from_python,
        "compose_config",
        lambda config, overrides: composed(config, [*SMALL_TRAINING, *overrides]),
    )
    return tmp_path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser without a window: playwright's, on the system's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(chromium: Any) -> Callable[[], AbstractContextManager[Callable[..., Any]]]:
    """Within pages(): what :func:`open_page` is, for tests that share a page."""

    def is_local(address: str) -> bool:
        local = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost")
        return address.startswith(local)

    @contextmanager
    def opened() -> Iterator[Callable[..., Any]]:
        contexts, wrong = [], []

        def open_it(address: str, *, width: int = 1280, height: int = 800, **options: Any) -> Any:
            context = chromium.new_context(viewport={"width": width, "height": height}, **options)
            contexts.append(context)
            page = context.new_page()
            page.on(
                "console", lambda said: wrong.append(said.text) if said.type == "error" else None
            )
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "request",
                lambda asked: None if is_local(asked.url) else wrong.append(asked.url[:200]),
            )
            page.goto(address)
            return page

        yield open_it
        for context in contexts:
            context.close()
        assert not wrong

    return opened


@pytest.fixture
def open_page(
    pages: Callable[[], AbstractContextManager[Callable[..., Any]]],
) -> Iterator[Callable[..., Any]]:
    """(address, width=1280, height=800, ...) -> playwright's page.

    Fails at the end of the test where a page said an error, or asked for more than this machine.
    """
    with pages() as opened:
        yield opened
