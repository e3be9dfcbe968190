"""Means of the losses over some iterations, and what a training step costs."""

from __future__ import annotations

import time
from typing import Any

import torch

from detection.engine.distributed import Processes


class StepMeans:
    """Means over the iterations since the last line of the log or the last validation.

    Sums stay on the device: reading a loss in every step would make the host wait for it.
    """

    def __init__(self, device: torch.device, processes: Processes) -> None:
        self.device = device
        self.processes = processes
        self.restart()

    def restart(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.norms: list[torch.Tensor] = []
        self.steps = 0
        self.waited = 0.0
        self.began = self.step_ended = time.perf_counter()

    def data_is_there(self) -> None:
        self.waited += time.perf_counter() - self.step_ended
        self.steps += 1

    def add(self, losses: dict[str, torch.Tensor], share: float) -> None:
        """Adds the losses of a micro-batch that is ``share`` of its mini-batch."""
        for name, value in losses.items():
            so_far = self.sums.get(name, torch.zeros((), device=self.device))
            self.sums[name] = so_far + value * share

    def add_norm(self, norm: torch.Tensor) -> None:
        self.norms.append(norm)

    def step_is_done(self) -> None:
        self.step_ended = time.perf_counter()

    def losses(self) -> dict[str, float]:
        """The means so far, over all processes; empty before the first step."""
        means = {name: float(value) / self.steps for name, value in self.sums.items()}
        return self.processes.mean(means)

    def close(self, learning_rate: float, images: int) -> dict[str, Any]:
        """The means and what a step costs; then they begin anew.

        ``images``: per mini-batch, over all processes.
        """
        values: dict[str, Any] = {**self.losses()}
        if self.norms:
            values["gradient_norm"] = float(torch.stack(self.norms).mean())
        seconds = (time.perf_counter() - self.began) / self.steps
        values |= {
            "learning_rate": learning_rate,
            "seconds_per_iteration": round(seconds, 4),
            "seconds_waiting_for_data": round(self.waited / self.steps, 4),
            "images_per_second": round(images / seconds, 3),
        }
        self.restart()
        return values
