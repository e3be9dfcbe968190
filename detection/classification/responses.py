"""Layer responses (He et al. 2015, figure 7): how strongly each 3x3 layer answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from detection.classification.classifier import Classifier
from detection.model.frozen_bn import ConvBN


@dataclass
class _Moments:
    """Sums over all positions, channels and images, in float64."""

    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def add(self, output: Tensor) -> None:
        values = output.detach().to("cpu", torch.float64)
        self.count += values.numel()
        self.total += values.sum()
        self.squares += values.square().sum()

    def std(self) -> float:
        mean = self.total / self.count
        return float((self.squares / self.count - mean**2).clamp(min=0).sqrt())


@torch.inference_mode()
def layer_responses(classifier: Classifier, batches: Iterable[Tensor]) -> dict[str, float]:
    """Name of each 3x3 layer, from the first to the last -> the standard deviation of its outputs.

    "The responses are the outputs of each 3x3 layer, after BN and before other nonlinearity
    (ReLU/addition)."  ``batches``: uint8 [N, h, w, 3], BGR.  Puts ``classifier`` into evaluation
    mode.  Raises ValueError for a network without such layers, and without images.
    """
    classifier.eval()
    layers = {
        name: layer
        for name, layer in classifier.backbone.named_modules()  # type: ignore[attr-defined]
        if isinstance(layer, ConvBN) and layer.conv.kernel_size == (3, 3)
    }
    if not layers:
        raise ValueError("this network has no 3x3 layers before BN, whose responses figure 7 shows")
    moments = {name: _Moments() for name in layers}

    def keep(name: str) -> object:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            moments[name].add(output)

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]  # type: ignore[arg-type]
    device = next(classifier.parameters()).device
    try:
        for batch in batches:
            classifier.logits(batch.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    if not moments[next(iter(moments))].count:
        raise ValueError("there are no images to see responses of")
    return {name: moment.std() for name, moment in moments.items()}
