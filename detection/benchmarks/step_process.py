"""A process that runs one training step, or one detection, for each line that it is sent.

How threads wait is settled when torch is loaded: therefore each network of suite `neighbours` is a
process of its own.  Ours comes in by the door of all commands; the peer's is as torch is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class StepProcess:
    """The other end; a call is one step.  ``settings``: those of :func:`serve`."""

    def __init__(self, **settings: Any) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "detection.benchmarks.step_process", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.facts: dict[str, Any] = json.loads(self._answer())

    def __call__(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        self._answer()

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ValueError("a process of the benchmark has ended, see above")
        return line


def serve(settings: Mapping[str, Any]) -> None:
    """Says what was chosen when the network is ready, and then "done" after each step.

    ``settings``: ``network``, this or torchvision; ``kind``, train or inference; ``precision``;
    ``overrides`` of configs/train.yaml; ``height``, ``width``, ``classes``, ``objects_per_image``
    and ``seed``.
    """
    if settings["network"] == "this":
        from detection.cli.door import choose_threads

        choose_threads()
    step, facts = _build(settings)
    step()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(json.dumps(facts), file=out, flush=True)
    for _ in sys.stdin:
        step()
        print("done", file=out, flush=True)


def _build(settings: Mapping[str, Any]) -> tuple[Callable[[], object], dict[str, Any]]:
    """A step, and what was chosen for it."""
    import torch
    from hydra.utils import instantiate

    from detection.benchmarks.networks import (
        build_model,
        inference,
        peer_inference,
        training_config,
    )
    from detection.benchmarks.peers.torchvision_c4 import TorchvisionC4
    from detection.benchmarks.pictures import objects, pictures
    from detection.benchmarks.suites.train import SIGMA, our_step, peer_step
    from detection.engine.runtime import set_up_runtime
    from detection.model.frozen_bn import fold, use_winograd
    from detection.model.roi_head import RoIHead

    config = training_config(settings["overrides"])
    classes, seed = settings["classes"], settings["seed"]
    model = build_model(config, classes=classes, seed=seed)
    assert isinstance(model.roi_head, RoIHead)
    model.rpn.sigma = model.roi_head.sigma = SIGMA
    images = config.schedule.batch_size if settings["kind"] == "train" else 1
    batch = pictures(images, settings["height"], settings["width"], seed)
    number = settings["objects_per_image"]
    targets = objects(batch, per_image=number, classes=classes, seed=seed)
    rule = instantiate(config.inference.post_processing, _convert_="all")
    training = settings["kind"] == "train"
    model.train(training)
    facts: dict[str, Any] = {}
    if settings["network"] == "this":
        runtime = set_up_runtime(
            device="cpu",
            precision=settings["precision"],
            deterministic=False,
            workers=0,
            winograd="auto",
            regions_at_once="auto",
        )
        use_winograd(model, runtime.winograd)
        model.regions_at_once = runtime.regions_at_once
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[runtime.precision]
        facts["precision"] = runtime.precision
        step: Callable[[], object]
        if training:
            optimizer = instantiate(config.schedule.optimizer)(model)
            step = our_step(model, batch, targets, dtype, optimizer)
        else:
            fold(model)
            step = inference(model, batch, rule, dtype)
    else:
        peer = TorchvisionC4(model, rule)
        if training:
            step = peer_step(peer, batch, targets, "float32", config.schedule.optimizer)
        else:
            step = peer_inference(peer, batch, "float32")
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set")}
    return step, facts | waiting | {"threads": torch.get_num_threads()}


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
