"""Trains a detector: python tools/train_net.py data.root=/path/to/data

One of its two networks alone (the four steps of alternating training: tools/train_alternating.py):
train_only=rpn, or train_only=fast_rcnn proposals=train.safetensors val_proposals=val.safetensors

Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/,
config.yaml, report.html, split.json where a split was made, and worst.jpg and worst/, the pictures
with the most mistakes.
Several processes: torchrun --nproc-per-node=2 tools/train_net.py ...
"""

from __future__ import annotations

from omegaconf import DictConfig

from detection.cli.detector_run import detector_run
from detection.cli.fit_recipe import fit_recipe
from detection.cli.processes import runtime_and_processes
from detection.cli.training_data import open_training_data


def main(config: DictConfig) -> None:
    with runtime_and_processes(config) as (runtime, processes):
        pictures = open_training_data(config)
        if config.schedule.get("recipe") is not None:
            fit_recipe(config, pictures, runtime, processes)
        if not config.dry_run:
            detector_run(config, runtime, processes, pictures).run()
