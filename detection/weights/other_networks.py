"""Networks that are not this project's, known by the names and shapes of their layers.

Two kinds: ResNets with something in them that the paper's have not, and other families.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from detection.model.resnet import BLOCKS

OURS = f"this project has plain ResNets: {', '.join(map(str, BLOCKS))}"

# What a network is, and a part of a name that only it has: from its start or behind a dot.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("a quantised network, in whole numbers", r"(\w+\.)*(zero_point|_packed_params)\b"),
    ("a ViT of CLIP", r"visual\.transformer\.resblocks\.\d+\.attn\."),
    (
        "a Swin Transformer",
        r"(layers\.\d+\.blocks|features\.\d+)\.\d+\.(attn|attention\.self)\.relative_position_bias",
    ),
    (
        "a Vision Transformer (ViT)",
        r"(blocks\.\d+\.attn\.qkv|encoder\.layers\.encoder_layer_\d+|"
        r"encoder\.layer\.\d+\.attention\.attention\.query)\.",
    ),
    ("a language model", r"(layers\.\d+\.self_attn\.q_proj|h\.\d+\.attn\.c_attn)\."),
    (
        "a ConvNeXt",
        r"(stages\.\d+\.(blocks\.|layers\.)?\d+\.(conv_dw|dwconv|depthwise_conv)\.|"
        r"features\.\d+\.\d+\.layer_scale)",
    ),
    (
        "a ResNet-v2 or BiT, with its normalisation in front of the convolutions",
        r"(stages\.\d+\.blocks|encoder\.stages\.\d+\.layers)\.\d+\.norm3\.",
    ),
    (
        "a network of timm's ByobNet (CLIP's ResNets, GC-ResNets and others)",
        r"stages\.\d+\.\d+\.conv1_1x1\.",
    ),
    ("an NFNet", r"stages\.\d+\.\d+\.conv1\.gain"),
    ("a RegNet", r"(s\d\.b\d+\.conv1\.conv\.|trunk_output\.block\d\.block\d-\d+\.)"),
    (
        "a MobileNet or an EfficientNet",
        r"(conv_stem\.|features\.\d+\.(conv|block)\.\d|features\.\d+\.\d+\.block\.\d|"
        r"_blocks\.\d+\._depthwise_conv\.)",
    ),
    ("a DenseNet", r"denseblock1\.denselayer1\."),
    ("an Inception network", r"(Mixed_5b|inception3a)\."),
    ("a SqueezeNet", r"features\.3\.squeeze\."),
    ("a ShuffleNet", r"stage2\.0\.branch1\."),
    ("an SSD", r"(backbone\.extra\.\d|head\.classification_head\.module_list\.)"),
    (
        "a YOLO detector",
        r"(model\.\d+\.(m\.\d+\.)?(cv\d\.)?conv\.|backbone\.dark2\.|module_list\.\d+\.)",
    ),
    ("an AlexNet, or a VGG other than VGG-16", r"features\.0\.weight$"),
)
_PICKLED_YOLO = ("ultralytics.", "models.yolo.", "models.common.")

# What the blocks of other ResNets hold, and the first word of their name.
_IN_BLOCKS: tuple[tuple[str, str, str], ...] = (
    ("ECA-", r"(se|eca)\.conv\.", "weights for the channels"),
    ("SE-", r"(se|se_module|se_layer)\.(fc|conv|down|up)\w*\.", "weights for the channels"),
    ("SK-", r"conv\d\.(paths|attn)\.", "several convolutions in the place of one"),
    ("Res2Net-like ", r"convs\.\d+\.", "several convolutions in the place of one"),
    ("split-attention (ResNeSt) ", r"conv2\.(fc1|bn0)\.", "several convolutions in one"),
    ("deformable ", r"conv2(\.conv)?_offset\.", "convolutions that look elsewhere"),
    ("anti-aliased ", r"(aa\.filt|downsample\.\d\.filt)$", "blurred strides"),
    ("attentive ", r"(attn|cbam|gcb|context_block)\.", "attention"),
)
_DEEP_STEM = ("conv1.0", "stem.0", "stem.0.conv", "conv2", "stem.conv2", "conv1_1", "stem.conv1_1")
# Bottlenecks in each stage, of networks that others call ResNets.
_OTHER_DEPTHS = {
    (1, 1, 1, 1): 14,
    (2, 2, 2, 2): 26,
    (3, 24, 36, 3): 200,
    (3, 30, 48, 8): 269,
}


@dataclass(frozen=True, kw_only=True)
class _Scheme:
    """The names of a kind of file: of conv1, of a block (its stage, its number), of its layers.

    ``first``: what the numbers of the stages and of the layers begin with.
    """

    conv1: str
    block: str
    conv: str
    norm: str
    first: tuple[int, int]


_TORCHVISION = _Scheme(
    conv1="conv1.weight",
    block=r"layer(\d)\.(\d+)\.",
    conv="layer1.0.conv{}.weight",
    norm="layer1.0.bn1",
    first=(1, 1),
)
_SCHEMES = {
    "torchvision": _TORCHVISION,
    "torchvision, numbered": _Scheme(
        conv1="0.weight",
        block=r"([4-7])\.(\d+)\.",
        conv="4.0.conv{}.weight",
        norm="4.0.bn1",
        first=(4, 1),
    ),
    "transformers": _Scheme(
        conv1="embedder.embedder.convolution.weight",
        block=r"encoder\.stages\.(\d)\.layers\.(\d+)\.",
        conv="encoder.stages.0.layers.0.layer.{}.convolution.weight",
        norm="encoder.stages.0.layers.0.layer.0.normalization",
        first=(0, 0),
    ),
    "detectron2 backbone": _Scheme(
        conv1="stem.conv1.weight",
        block=r"res(\d)\.(\d+)\.",
        conv="res2.0.conv{}.weight",
        norm="res2.0.conv1.norm",
        first=(2, 1),
    ),
}


def family_of(names: Collection[str]) -> str | None:
    """What a file without a ResNet holds, and the name that shows it; None if it is not known."""
    for what, pattern in _FAMILIES:
        found = re.compile(rf"(?:^|\.)(?:{pattern})")
        name = next((name for name in names if found.search(name)), None)
        if name is not None:
            return f"{what} ({name!r})"
    return None


def is_pickled_yolo(kind: str) -> bool:
    """Whether an object of the class ``kind`` is a network of ultralytics or YOLOv5."""
    return kind.startswith(_PICKLED_YOLO)


def variant_of(kind: str, weights: Mapping[str, Tensor], *, prefix: str) -> str | None:
    """What makes a ResNet another one than the paper's, in words; None for a plain one.

    ``weights``: all that the file has under the network's ``prefix``, without it.
    """
    scheme = _SCHEMES.get(kind)
    if any(name.startswith("stage2.0.branches.") for name in weights):
        return "an HRNet: it has branches of several resolutions"
    if prefix.endswith("regnet."):
        return "a RegNet: its names are those of transformers' RegNets"
    if scheme is None:
        return None
    name, difference = _base(scheme, weights)
    inside = [n for n in weights if re.match(scheme.block, n)]
    for word, pattern, what in _IN_BLOCKS:
        found = next((n for n in inside if re.search(rf"\.{pattern}", n)), None)
        if found:
            return f"{_article(word)} {word}{name}: {found!r} is {what}"
    if difference:
        return f"{_article(name)} {name}: {difference}"
    return _other_stem(scheme, name, weights) or _other_norm(scheme, name, weights)


def _article(name: str) -> str:
    return "an" if name.startswith(("ECA", "SE-", "SK-", "anti", "att")) else "a"


def _base(scheme: _Scheme, weights: Mapping[str, Tensor]) -> tuple[str, str | None]:
    """(its name, how its blocks differ from the paper's)"""
    blocks: dict[int, int] = {}
    for found in filter(None, (re.match(scheme.block, name) for name in weights)):
        stage = int(found[1]) - scheme.first[0]
        blocks[stage] = max(blocks.get(stage, 0), int(found[2]) + 1)
    counts = tuple(blocks.get(stage, 0) for stage in range(4))
    one, two, three = (weights.get(scheme.conv.format(scheme.first[1] + i), None) for i in range(3))
    per_block = 3 if three is not None else 2
    name = f"ResNet-{per_block * sum(counts) + 2}"
    conv1 = weights.get(scheme.conv1)
    if one is None or two is None or two.ndim != 4 or (three is not None and three.ndim != 4):
        return name, None
    width, inputs = two.shape[:2]
    if three is not None and width != inputs:
        groups = width // inputs
        return (
            f"{name.replace('ResNet', 'ResNeXt')} {groups}x{inputs}d",
            f"its 3x3 convolutions are in {groups} groups",
        )
    if conv1 is not None and conv1.ndim == 4 and conv1.shape[-1] == 7 and len(conv1) != 64:
        return name, f"its conv1 has {len(conv1)} channels, the paper's 64"
    if three is not None and len(three) == 256 and width != 64:
        return f"wide {name}", f"its 3x3 convolutions have {width} channels, the paper's 64"
    if three is not None and counts in _OTHER_DEPTHS:
        return name, f"its stages have {', '.join(map(str, counts))} blocks"
    return name, None


def _other_stem(scheme: _Scheme, name: str, weights: Mapping[str, Tensor]) -> str | None:
    shortcut = next((n for n, v in weights.items() if _is_ds_shortcut(n, v)), None)
    if any(n.startswith("attnpool.") for n in weights):
        return (
            f"CLIP's {name}: it has three convolutions in the place of conv1, and attention in the "
            "place of the mean"
        )
    deep = next((f"{n}.weight" for n in _DEEP_STEM if f"{n}.weight" in weights), None)
    if deep:
        letter = "D (vd)" if shortcut else "C"
        return (
            f"a {name}-{letter}: {deep!r} is one of several convolutions in the place of conv1 (a "
            "deep stem, as in timm's resnet50d and ResNet-v1c)"
        )
    if shortcut:
        return f"a {name} with the shortcuts of ResNet-D: {shortcut!r} follows a mean of 2x2"
    conv1 = weights.get(scheme.conv1)
    if conv1 is None or conv1.ndim != 4:
        return None
    if conv1.shape[-1] != 7:
        size = conv1.shape[-1]
        return f"a {name} for small pictures: its conv1 is of {size}x{size}, the paper's of 7x7"
    if conv1.shape[1] != 3:
        return f"a {name} for other pictures: its conv1 reads {conv1.shape[1]} channels, and not 3"
    return None


def _is_ds_shortcut(name: str, value: Tensor) -> bool:
    return name.endswith("downsample.1.weight") and value.ndim == 4


def _other_norm(scheme: _Scheme, name: str, weights: Mapping[str, Tensor]) -> str | None:
    norm = re.sub(r"\bbn", "gn", scheme.norm)
    if f"{norm}.weight" in weights and norm != scheme.norm:
        return f"a {name} with GroupNorm ('{norm}.weight'), and not BN"
    if scheme.conv.format(scheme.first[1]).replace("weight", "bias") in weights:
        return f"a {name} whose BN is folded into its convolutions, which have biases"
    counted = any(n.endswith("running_var") for n in weights)
    if f"{scheme.norm}.weight" in weights and not counted:
        return f"a {name} with GroupNorm: '{scheme.norm}' has no running statistics, as BN has"
    return None
