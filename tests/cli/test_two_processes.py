"""What several processes of torchrun do is what one does: the tools that are made for that.

torchrun is started once for all of them, and once more in four: each start imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from detection.cli import bn_statistics, train_classifier, train_net
from detection.cli.compose import compose_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
DETECTOR = [
    "experiment=demo",
    # At a rate that does not fall, and by SGD: by AdamW's first steps any two gradients of one
    # sign are alike.
    "schedule=paper2015",
    "schedule/optimizer=caffe_sgd",
    "schedule.learning_rate.reference=0.0001",
    # Small pixels and steps: a network of random weights multiplies them, and their rounding.
    "model/pixels=torchvision",
    "schedule.learning_rate.warmup_iterations=0",
    "schedule.rules.log_every=1",
    "schedule.rules.iterations=15",  # of two in an epoch
    "schedule.batch_size=4",
    "data.shorter_sides=[48,64]",
    "data.size_step=16",
    "model.rpn.training_proposals.after_nms=50",
    "model.roi_head.sampling.per_image=8",
    "model.roi_head.sampling.foreground_fraction=0.25",
    "model.rpn.test_proposals.after_nms=2",
    "inference=single",
    *RUNTIME,
]
CLASSIFIER = [
    "experiment=classification/cifar",
    "model.backbone.depth=8",
    "model.backbone.widths=[4,4,8]",
    "schedule.batch_size=8",
    "schedule.learning_rate.reference_batch=8",
    "schedule.rules.log_every=1",
    "schedule.rules.evaluate_every=2",
    "schedule.rules.iterations=2",
    *RUNTIME,
]
# Of the tools, in this order: script, configuration.
TOOLS: dict[str, tuple[ModuleType, str]] = {
    "train_net": (train_net, "train"),
    "train_classifier": (train_classifier, "classifier"),
    "bn_statistics": (bn_statistics, "bn_statistics"),
}
# Each tool in a process of its own, forked from one that has imported torch and done nothing yet.
SCRIPT = """\
import json, os, runpy, sys
import detection.cli.train_net, detection.cli.train_classifier, detection.cli.bn_statistics
for port, *command in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        os.environ["MASTER_PORT"] = str(port)
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
        sys.exit()
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"{command}: {status}")
"""


@pytest.fixture(scope="module", autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def run(tool: str, *arguments: str) -> None:
    """The tool in this process."""
    module, config = TOOLS[tool]
    module.main(compose_config(config, list(arguments)))


def write_squares(root: Path) -> Path:
    """Eight pictures of several sizes and both orientations."""
    random = np.random.default_rng(0)
    sizes = [(96, 96), (96, 128), (128, 96), (96, 112)] * 2
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        images, annotations = [], []
        for i, (height, width) in enumerate(sizes, start=1):
            picture = random.integers(0, 120, (height, width, 3), dtype=np.uint8)
            picture[20:60, 4 * i : 4 * i + 48] = 255
            cv2.imwrite(str(root / split / f"{i}.png"), picture)
            images.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
            box = [4 * i, 20, 48, 40]
            annotations.append({"id": i, "image_id": i, "category_id": 5, "bbox": box})
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 5, "name": "square"}],
        }
        (root / f"instances_{split}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def classifier(bright_and_dark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose BN layers have learnt."""
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    run("train_classifier", *CLASSIFIER, f"data.root={bright_and_dark}", f"output_dir={folder}")
    return folder / "last.pt"


@pytest.fixture(scope="module")
def outputs(
    bright_and_dark: Path,
    classifier: Path,
    tmp_path_factory: pytest.TempPathFactory,
    in_two_processes: Callable[..., Any],
) -> dict[str, tuple[Path, Path]]:
    """Tool -> the folder that it left alone, and the one that it left in two processes."""
    root = tmp_path_factory.mktemp("processes")
    classes = f"data.root={bright_and_dark}"
    # Fixed BN: each process normalises by its own part of the mini-batch, as in the paper.
    fixed = ["model.backbone.norm=frozen", "schedule.learning_rate.reference=0.001"]
    statistics = [f"checkpoint={classifier}", classes, "data.val_split=test", *RUNTIME]
    arguments = {
        "train_net": [*DETECTOR, f"data.root={write_squares(root / 'squares')}"],
        "train_classifier": [*CLASSIFIER, classes, *fixed],
        "bn_statistics": statistics,
    }
    batch_sizes = {"bn_statistics": ("batch_size=16", "batch_size=3")}
    # By torchrun's own store one pair of processes can meet; each tool's pair gets another.
    stores = [TCPStore("localhost", 0, is_master=True, wait_for_workers=False) for _ in arguments]
    commands: list[list[str | int]] = []
    for store, (tool, given) in zip(stores, arguments.items(), strict=True):
        alone, together = batch_sizes.get(tool, ("seed=1", "seed=1"))
        run(tool, *given, alone, f"output_dir={root / tool / '1'}")
        script = str(ROOT / "tools" / f"{tool}.py")
        commands.append([store.port, script, *given, together, f"output_dir={root / tool / '2'}"])
    (root / "tools.py").write_text(SCRIPT)
    done = in_two_processes(root / "tools.py", json.dumps(commands))
    assert done.returncode == 0, done.stderr[-3000:]
    # The detector in four as well, one image each.
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    script = str(ROOT / "tools" / "train_net.py")
    four = [store.port, script, *arguments["train_net"], f"output_dir={root / 'train_net' / '4'}"]
    done = in_two_processes(root / "tools.py", json.dumps([four]), number=4)
    assert done.returncode == 0, done.stderr[-3000:]
    return {tool: (root / tool / "1", root / tool / "2") for tool in arguments}


def weights_of(path: Path) -> dict[str, Tensor]:
    weights = torch.load(path, weights_only=True)["weights"]
    assert isinstance(weights, dict)
    return weights


@pytest.mark.parametrize("processes", ["2", "4"])
def test_a_detector_is_trained_the_same(
    outputs: dict[str, tuple[Path, Path]], processes: str
) -> None:
    alone = outputs["train_net"][0]
    one, several = (weights_of(f / "last.pt") for f in (alone, alone.with_name(processes)))
    for name, value in one.items():
        torch.testing.assert_close(several[name], value, rtol=0, atol=1e-6, msg=name)


def test_a_classifier_is_trained_the_same(outputs: dict[str, tuple[Path, Path]]) -> None:
    one, two = (weights_of(folder / "last.pt") for folder in outputs["train_classifier"])
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_statistics_do_not_depend_on_processes_and_batches(
    outputs: dict[str, tuple[Path, Path]], classifier: Path
) -> None:
    for folder in outputs["bn_statistics"]:
        metrics = json.loads((folder / "metrics.json").read_text())
        assert {"error", "error_before"} <= metrics.keys()
    one, two = (weights_of(folder / "classifier.pt") for folder in outputs["bn_statistics"])
    before = weights_of(classifier)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5, msg=name)
        # The statistics are new, and nothing else is.
        is_statistic = name.endswith(("running_mean", "running_var"))
        assert torch.equal(value, before[name]) != is_statistic, name
