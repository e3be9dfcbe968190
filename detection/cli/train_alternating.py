"""Trains a detector in the four steps of Ren et al. 2015, section 3.2, in place of joint training.

python tools/train_alternating.py data.root=/path/to/data weights=resnet.safetensors

1_rpn        the RPN, from the weights given; its proposals
2_fast_rcnn  Fast R-CNN, from the weights given again, on those proposals
3_rpn        the RPN anew, on the layers of step 2, which are fixed but for its own; its proposals
4_fast_rcnn  Fast R-CNN, the shared layers fixed, on the new proposals

Takes the values of train_net.py, but part= and what belongs to it; schedule.* holds for each step,
but that the Fast R-CNN steps take schedule.fast_rcnn_batch times as many images.  Leaves a folder
for each step in output_dir, and the detector as output_dir/best.pt.  resume=true goes on in the
step, and at the iteration, where an earlier call stopped.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import Checkpoint
from detection.cli import train_net
from detection.cli.launch import device_type
from detection.data.formats.open import open_folder
from detection.engine.distributed import Processes, processes
from detection.engine.propose import write_proposals
from detection.engine.runtime import Runtime, set_up_runtime
from detection.inference.detector import Detector

log = logging.getLogger("train")


@dataclass(frozen=True)
class Step:
    """One training; ``changes``: to the configuration that all steps share.

    ``proposals``: the files it leaves, by the key in ``data`` that names the split.
    """

    folder: Path
    changes: dict[str, Any]
    proposals: dict[str, Path]

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    def state(self, iterations: int) -> Literal["to_train", "to_measure", "finished"]:
        """What is left to do until it has been trained for so long, and measured."""
        training = Checkpoint.load(self.last).training if self.last.is_file() else {}
        if training.get("iteration", 0) < iterations:
            return "to_train"
        return "finished" if training.get("measured", True) else "to_measure"


def main(config: DictConfig) -> None:
    with processes(device_type(config)) as own:
        if not own.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        runtime = set_up_runtime(**config.runtime, local_rank=own.local_rank)
        steps = plan(Path(config.output_dir))
        _check_values(config)
        _check_folder(steps, resume=config.resume)
        own.wait()
        for number, step in enumerate(steps, start=1):
            log.info("step %d of %d: %s", number, len(steps), step.folder)
            _take(step, steps[number:], config, runtime, own)
        if own.is_first:
            _keep_result(steps[-1], Path(config.output_dir))


def plan(folder: Path) -> tuple[Step, ...]:
    """The four steps."""
    names = ("1_rpn", "2_fast_rcnn", "3_rpn", "4_fast_rcnn")
    first, second, third, fourth = (folder / name for name in names)
    early = {
        "train_split": first / "train_proposals.safetensors",
        "val_split": first / "val_proposals.safetensors",
    }
    late = {"train_split": third / "train_proposals.safetensors"}
    on_early = {"proposals": early["train_split"], "val_proposals": early["val_split"]}
    fixed = {"shared_fixed": True, "weights": None, "init_new_classes": False}
    return (
        Step(first, {"part": "rpn"}, early),
        Step(second, {"part": "fast_rcnn", **on_early}, {}),
        Step(third, {"part": "rpn", "init": second / "last.pt", **fixed}, late),
        Step(
            fourth,
            {
                "part": "fast_rcnn",
                "init": third / "last.pt",
                "proposals": late["train_split"],
                **fixed,
            },
            {},
        ),
    )


def step_config(step: Step, config: DictConfig) -> DictConfig:
    """The configuration of train_net.py for one step."""
    changes = {key: str(v) if isinstance(v, Path) else v for key, v in step.changes.items()}
    merged = OmegaConf.merge(config, changes, {"output_dir": str(step.folder)})
    assert isinstance(merged, DictConfig)
    if step.changes["part"] == "fast_rcnn":
        times = config.schedule.get("fast_rcnn_batch", 1)
        merged.schedule.batch_size *= times
        merged.schedule.learning_rate.reference_batch *= times
    merged.resume = step.last.is_file()
    return merged


def _check_values(config: DictConfig) -> None:
    """What the steps decide is not for the command line."""
    given = [
        key
        for key, value in (
            ("part", "joint"),
            ("shared_fixed", False),
            ("proposals", None),
            ("val_proposals", None),
        )
        if config[key] != value
    ]
    if given:
        raise ValueError(
            f"{', '.join(given)}: each of the four steps has its own; leave it out, or train one "
            "half alone with train_net.py"
        )


def _check_folder(steps: tuple[Step, ...], *, resume: bool) -> None:
    begun = steps[0].folder
    if begun.exists() and not resume:
        raise ValueError(
            f"{begun} exists: go on from it with resume=true, or choose another output_dir"
        )
    if resume and not begun.exists():
        raise FileNotFoundError(f"{begun}: nothing to resume; leave out resume=true")


def _take(
    step: Step,
    later: Sequence[Step],
    config: DictConfig,
    runtime: Runtime,
    own: Processes,
) -> None:
    """Trains what is left of a step, and writes what proposals are missing.

    Raises ValueError if something is left although a ``later`` step has been built on it.
    """
    own_config = step_config(step, config)
    iterations = own_config.schedule.rules.iterations
    built_on_it = [other.folder for other in later if other.last.is_file()]
    state = step.state(iterations)
    if state == "finished" or (state == "to_measure" and built_on_it):
        log.info("trained already")
    else:
        if built_on_it:
            raise ValueError(
                f"{step.folder} is to be trained up to iteration {iterations:,}, and "
                f"{built_on_it[0]} has been trained on what it was before: go on with as many "
                "schedule.rules.iterations as at first, or choose another output_dir"
            )
        own.wait()  # nobody trains before all have looked
        for path in step.proposals.values():
            path.unlink(missing_ok=True)  # of the step as it was before
        train_net.run(own_config, runtime, own, time.perf_counter())
    own.wait()  # last.pt is written
    for key, path in step.proposals.items():
        if not path.is_file():
            _propose(step, own_config, config.data[key], path, runtime, own)


def _propose(
    step: Step, config: DictConfig, split: Any, path: Path, runtime: Runtime, own: Processes
) -> None:
    data = config.data
    dataset = open_folder(
        root=Path(data.root), split=split, classes=data.classes, invalid_boxes=data.invalid_boxes
    )
    detector = Detector.load(
        step.last,
        device=runtime.device,
        precision=runtime.precision,
        winograd=runtime.winograd,
        networks=["rpn"],
    )
    write_proposals(
        path,
        detector,
        dataset,
        batch_size=config.validation.batch_size,
        workers=runtime.workers,
        own=own,
    )


def _keep_result(last: Step, folder: Path) -> None:
    """The last step's detector and metrics, where joint training would leave them."""
    best = last.folder / "best.pt"
    # Killed while it was measured for the last time: what was trained is all the same there.
    shutil.copy(best if best.is_file() else last.last, folder / "best.pt")
    if (last.folder / "metrics.json").is_file():
        shutil.copy(last.folder / "metrics.json", folder)
    log.info("detector: %s", folder / "best.pt")
