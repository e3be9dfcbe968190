"""Trains a classifier: python tools/train_classifier.py data.root=/path/to/imagenet

CIFAR-10: python tools/train_classifier.py experiment=classification/cifar data.root=/path/to/it
Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
A detector starts from it: python tools/train_net.py weights=outputs/classifier/best.pt ...
Several processes: torchrun --nproc-per-node=2 tools/train_classifier.py ...
"""

from __future__ import annotations

from omegaconf import DictConfig

from detection.cli.classifier_run import classifier_run
from detection.cli.processes import runtime_and_processes


def main(config: DictConfig) -> None:
    with runtime_and_processes(config, one_size=True) as (runtime, processes):
        classifier_run(config, runtime, processes).run()
