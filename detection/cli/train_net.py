"""Trains a detector: python tools/train_net.py data.root=/path/to/data weights=resnet.safetensors

One of its two networks alone (the four steps of alternating training: tools/train_alternating.py):
train_only=rpn, or train_only=fast_rcnn proposals=train.safetensors val_proposals=val.safetensors

Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
Several processes: torchrun --nproc-per-node=2 tools/train_net.py ...
"""

from __future__ import annotations

from omegaconf import DictConfig

from detection.cli.detector_training import detector_training
from detection.cli.processes import started


def main(config: DictConfig) -> None:
    with started(config) as (runtime, processes):
        detector_training(config, runtime, processes).start()
