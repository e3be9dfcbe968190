"""Trains a localisation network: python tools/train_localizer.py data.root=ILSVRC weights=best.pt

It learns where the object of a class is; a classifier says which classes a picture shows.
weights=: the classifier that it is fine-tuned from, a best.pt of tools/train_classifier.py.
Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
Several processes: torchrun --nproc-per-node=2 tools/train_localizer.py ...
"""

from __future__ import annotations

from omegaconf import DictConfig

from detection.cli.localizer_run import localizer_run
from detection.cli.processes import runtime_and_processes


def main(config: DictConfig) -> None:
    with runtime_and_processes(config, one_size=True) as (runtime, processes):
        localizer_run(config, runtime, processes).run()
