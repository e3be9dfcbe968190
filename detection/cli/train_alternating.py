"""Trains a detector in the four steps of Ren et al. 2015, section 3.2, in place of joint training.

python tools/train_alternating.py data.root=/path/to/data weights=resnet.safetensors

1_rpn        the RPN, from the weights given; its proposals
2_fast_rcnn  Fast R-CNN, from the weights given again, on those proposals
3_rpn        the RPN again, on the shared layers of step 2, which stay fixed; its proposals
4_fast_rcnn  Fast R-CNN again, on the same fixed layers, and the new proposals

Takes the values of train_net.py, but train_only= and what belongs to it.  schedule.* holds for each
step, but the Fast R-CNN steps take schedule.fast_rcnn_batch times as many images and
schedule.fast_rcnn_length times as many iterations.  Leaves a folder for each step in output_dir,
and the detector as output_dir/best.pt.  resume=true goes on in the step, and at the iteration,
where an earlier call stopped.
"""

from __future__ import annotations

import functools
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from detection.build import packages_of
from detection.cli.data_sets import open_split
from detection.cli.detector_run import detector_run
from detection.cli.objects import as_plain
from detection.cli.processes import runtime_and_processes
from detection.cli.resumed_settings import check_settings
from detection.data.split_file import SPLIT_FILE
from detection.engine.alternating_training import AlternatingTraining, Split, Step, four_steps
from detection.engine.distributed import Processes
from detection.engine.propose import write_proposals
from detection.engine.runtime import Runtime
from detection.inference.detector import Detector


def main(config: DictConfig) -> None:
    check_steps(config)
    with runtime_and_processes(config) as (runtime, processes):
        AlternatingTraining(
            folder=Path(config.output_dir),
            resume=config.resume,
            iterations=lambda step: step_config(step, config).schedule.rules.iterations,
            train=functools.partial(_train, config, runtime, processes),
            propose=functools.partial(_propose, config, runtime, processes),
            processes=processes,
            overwrite=config.overwrite,
            reads=[Path(path) for path in (config.weights, config.init) if path],
        ).run()


def step_config(step: Step, config: DictConfig) -> DictConfig:
    """The configuration of train_net.py for one step."""
    changes = {
        "output_dir": str(step.folder),
        "resume": step.last.is_file(),
        # A step that was killed before its first checkpoint starts anew; the folder is ours.
        "overwrite": not step.last.is_file(),
        "train_only": step.network,
        "proposals": str(step.proposals) if step.proposals else None,
        "val_proposals": str(step.val_proposals) if step.val_proposals else None,
    }
    if step.init:
        changes |= {"init": str(step.init), "shared_fixed": True}
        changes |= {"weights": None, "weights_entry": None, "init_new_classes": False}
    merged = OmegaConf.merge(_with_split(config), changes)
    assert isinstance(merged, DictConfig)
    if step.network == "fast_rcnn":
        _for_fast_rcnn(merged.schedule)
    return merged


def _for_fast_rcnn(schedule: DictConfig) -> None:
    """The schedule of the RPN's steps -> that of Fast R-CNN's."""
    schedule.batch_size *= schedule.fast_rcnn_batch
    rate, length = schedule.learning_rate, schedule.fast_rcnn_length
    rate.reference_batch *= schedule.fast_rcnn_batch
    schedule.rules.iterations = max(1, round(schedule.rules.iterations * length))
    if "milestones" in rate:
        rate.milestones = [round(milestone * length) for milestone in rate.milestones]


def check_steps(config: DictConfig) -> None:
    """All before any goes on: a finished step keeps the settings that it was trained with."""
    for step in four_steps(Path(config.output_dir)) if config.resume else ():
        check_settings(step.folder, step_config(step, config))


def _with_split(config: DictConfig) -> DictConfig:
    """All steps take the split that the first one has made, if it has."""
    made = next(Path(config.output_dir).glob(f"1_*/{SPLIT_FILE}"), None)
    if made is not None and config.data.split_file is None:
        config.data.split_file = str(made)
    return config


def _train(config: DictConfig, runtime: Runtime, processes: Processes, step: Step) -> None:
    detector_run(step_config(step, config), runtime, processes).run()


def _propose(
    config: DictConfig,
    runtime: Runtime,
    processes: Processes,
    step: Step,
    split: Split,
    path: Path,
) -> None:
    detector = Detector.load(
        step.last,
        device=runtime.device,
        precision=runtime.precision,
        winograd=runtime.winograd,
        regions_at_once=runtime.regions_at_once,
        networks=["rpn"],
        trust=sorted(packages_of(as_plain(config.model))),
    )
    write_proposals(
        path,
        detector,
        open_split(_with_split(config).data, config.data[f"{split}_split"]),
        batch_size=config.validation.batch_size,
        workers=runtime.workers,
        processes=processes,
    )
