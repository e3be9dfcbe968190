"""Suite `start`: how long a command takes that begins cold: questions, typing errors, one photo.

Each is a process of its own, from the shell's point of view.  The peer of all is ``import torch``
alone, in the same rounds: "x fastest peer" says the same on a slow or busy machine.  ``facts`` of a
row: ``budget_s``, the time that it may take on two quiet cores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from detection.benchmarks.measurement import Case
from detection.benchmarks.networks import build_model, training_config
from detection.benchmarks.pictures import write_pictures
from detection.checkpoint import Checkpoint
from detection.cli.objects import as_plain
from detection.data.transforms import Resize


def cases(
    *,
    device: torch.device,
    detectors: dict[str, Sequence[str]],
    height: int,
    width: int,
    classes: int,
    seed: int,
) -> Iterator[list[Case]]:
    """``detectors``: name -> overrides of configs/train.yaml; their weights are random."""
    questions = {
        "--help": _command("train", "--help"),
        "--help all": _command("train", "--help", "all"),
        "typing error": _command("train", "photos", "schedule.batch_sise=8", ends_with=1),
    }
    answers = [Case(name, "-", run, facts={"budget_s": 0.5}) for name, run in questions.items()]
    yield [_torch_alone(), *answers]
    with tempfile.TemporaryDirectory() as folder:
        (photo,) = write_pictures(Path(folder), 1, height, width, seed)
        found = [_torch_alone()]
        for name, overrides in detectors.items():
            checkpoint = Path(folder) / f"{name}.pt"
            _save(checkpoint, overrides, classes, seed)
            words = ("detect", str(checkpoint), str(photo), "-o", f"{folder}/{name}")
            run = _command(*words, "overwrite=true", f"runtime.device={device.type}")
            found.append(Case(f"detect, {name}", "float32", run, facts={"budget_s": 3.0}))
        yield found


def _torch_alone() -> Case:
    return Case("import torch", "-", _program("-c", "import torch"), peer=True)


def _command(*words: str, ends_with: int = 0) -> Callable[[], None]:
    return _program("-m", "detection", *words, ends_with=ends_with)


def _program(*words: str, ends_with: int = 0) -> Callable[[], None]:
    def run() -> None:
        command = [sys.executable, *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == ends_with, done.stderr

    return run


def _save(path: Path, overrides: Sequence[str], classes: int, seed: int) -> None:
    config = training_config(overrides)
    model = build_model(config, classes=classes, seed=seed)
    Checkpoint(
        weights=model.state_dict(),
        model_config=as_plain(config.model) | {"num_classes": classes},
        resize={
            "_target_": f"{Resize.__module__}.{Resize.__name__}",
            "shorter_sides": [config.data.test_shorter_side],
            "longest": config.data.longest,
        },
        inference=as_plain(config.inference),
        class_names=[f"class {number}" for number in range(classes)],
        category_ids=list(range(1, classes + 1)),
    ).save(path)
