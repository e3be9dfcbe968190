"""The exponential moving average of the weights that learn (Polyak & Juditsky 1992).

What is validated, and what a checkpoint's detector has, is the average; what the optimizer goes on
from are the weights themselves.  The average forgets faster at first, as in TensorFlow's
``ExponentialMovingAverage(num_updates)``: after ``t`` updates at most by (1 + t) / (10 + t), or few
iterations would leave it at the first weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The average of ``model``'s weights, which begins with those that it has.

    ``decay``: in (0, 1), the part of the average that an update keeps.
    Followed are the parameters that learn, and the floating-point buffers: running statistics of
    BN.  What is fixed stays as it is.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        learning = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        kept = model.state_dict().keys()
        buffers = {
            name: buffer
            for name, buffer in model.named_buffers()
            if buffer.is_floating_point() and name in kept
        }
        self._own = {**learning, **buffers}  # the model's, which share its memory
        self._average = {name: value.clone() for name, value in self._own.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """After a step.  ``updates``: how many there were, with this one."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_([*self._average.values()], [*self._own.values()], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it is entered the model has the average.

        What changes of it meanwhile, such as statistics of BN, changes the average.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, own in self._own.items():
            trained = own.clone()
            own.copy_(self._average[name])
            self._average[name].copy_(trained)

    def weights(self) -> dict[str, Tensor]:
        """The average, by the names of the model's ``state_dict``."""
        return dict(self._average)

    def trained(self) -> dict[str, Tensor]:
        """The weights that the optimizer goes on from, by the same names."""
        return dict(self._own)


def averaged_weights(
    model: nn.Module, decay: float | None, trained: Mapping[str, Tensor] | None
) -> AveragedWeights | None:
    """The average that begins with the weights of ``model``; None without a ``decay``.

    ``trained``: what the model has afterwards, where its weights are the average of a checkpoint.
    """
    averaged = None if decay is None else AveragedWeights(model, decay)
    if trained is not None:
        model.load_state_dict(trained, strict=False)
    return averaged
