"""Networks without their random initialisation, for weights that are loaded into them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detection.declared_sizes import Allowance

# What layers are initialised with: the functions of nn.init that tell a mode of torch's, and those
# of a tensor, which the others call.
_RANDOM = {
    *(nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_uniform_),
    *(Tensor.uniform_, Tensor.normal_),
}
# What layers make their tensors with, the shape first.
_MADE = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


class BlankWeights(TorchFunctionMode):
    """Within it layers are made without random numbers: their weights are whatever memory holds.

    All of them must be loaded afterwards: :func:`detection.load_weights.load_weights` makes sure.
    What is not random (shapes, layouts, anchors, the buffers of BN) is as ever, which the device
    "meta" does not give; and that takes seconds to set up.  No random numbers are drawn.
    ``allowance``: what the layers may take, or ValueError; None: anything.
    """

    def __init__(self, allowance: Allowance | None = None) -> None:
        super().__init__()
        self._allowance = allowance

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        if self._allowance is not None and func in _MADE:
            shape = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            kind = kwargs.get("dtype") or torch.get_default_dtype()
            self._allowance.take(tuple(shape), kind.itemsize)
        return func(*args, **kwargs)
