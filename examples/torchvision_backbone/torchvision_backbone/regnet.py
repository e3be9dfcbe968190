"""A RegNet (Radosavovic et al. 2020) cut where its stride is 16, as the ResNet of a C4 detector is.

The stem and the first three blocks are shared by the RPN and the RoI head; the fourth block runs
for each region.  BN is frozen, as in the detector's own backbone.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

NAMES = ("regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_x_400mf", "regnet_x_800mf")


class RegNetC4(nn.Module):
    """What ``detection.model.interfaces.Backbone`` asks for.

    ``name``: which of torchvision's RegNets.  Parameters have torchvision's names without
    ``trunk_output.``: a file of tensors with these names goes into ``weights=``.
    Raises ValueError for a name that is not one of NAMES.
    """

    stride = 16
    bin_step = 1  # the fourth block strides in a 3x3 convolution, which reads every bin
    region_layers = ("block4",)

    def __init__(self, *, name: str) -> None:
        super().__init__()
        if name not in NAMES:
            raise ValueError(f"model.backbone.name must be one of {', '.join(NAMES)}, got {name!r}")
        network = models.get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
        blocks = network.trunk_output
        self.stem = network.stem
        self.block1, self.block2, self.block3 = blocks.block1, blocks.block2, blocks.block3
        self.block4 = blocks.block4
        self.feature_channels = _out_channels(self.block3)
        self.region_channels = _out_channels(self.block4)

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> the shared features [N, feature_channels, h, w]."""
        return self.block3(self.block2(self.block1(self.stem(pixels))))

    def region_features(self, pooled: Tensor) -> Tensor:
        """Pooled features [R, feature_channels, bins, bins] -> [R, region_channels]."""
        return self.block4(pooled).mean(dim=(2, 3))


def _out_channels(block: nn.Module) -> int:
    last = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1]
    return last.out_channels
