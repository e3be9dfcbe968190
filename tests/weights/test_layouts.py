"""Published layouts of weights: each is built here, and its network found and placed whole.

A file is a ResNet-50 whose tensors all have a number of their own, under the names and beside the
entries that each project's code writes.  The numbers are stored once and expanded, so that a file
is small.
"""

from __future__ import annotations

import argparse
import collections
import logging
import pathlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from detection.load_weights import check_weights
from detection.model.resnet import ResNet
from detection.weights.backbone_file import read_backbone
from detection.weights.file_content import read_content
from detection.weights.import_backbone import input_format
from detection.weights.initialise import InitialWeights, initialise_backbone
from detection.weights.input_format import MSRA, TORCHVISION
from detection.weights.parameter import Parameter
from detection.weights.parameter_names import classifier_weights, parameter_name
from detection.weights.source import open_source
from detection.weights.torchvision import torchvision_name

State = dict[str, Tensor]
pytestmark = pytest.mark.usefixtures("may_declare_more")
ROOT = Path(__file__).resolve().parents[2]


def numbered(shapes: dict[str, torch.Size], first: int) -> State:
    """Tensors of one number each, from ``first`` on; conv1's show pixels of deviation 1."""
    made = {n: torch.tensor(float(first + i)).expand(s) for i, (n, s) in enumerate(shapes.items())}
    generator = torch.Generator().manual_seed(first)
    made["conv1.weight"] = torch.randn(64, 3, 7, 7, generator=generator)
    made["bn1.running_mean"] = torch.randn(64, generator=generator)
    made["bn1.running_var"] = torch.rand(64, generator=generator) + 0.5
    return made


with torch.device("meta"):
    NETWORK = torchvision.models.resnet50()
    OWN = ResNet(depth=50, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1)
SHAPES = {name: value.shape for name, value in NETWORK.state_dict().items()}
# The network that is to be found, and another one that it must not be taken for.
FULL, OTHER = numbered(SHAPES, 1), numbered(SHAPES, 1000)
BODY, DECOY = (
    {name: value for name, value in state.items() if not name.startswith("fc.")}
    for state in (FULL, OTHER)
)
MLP = {"0.weight": torch.ones(8, 4), "1.weight": torch.ones(8), "1.running_var": torch.ones(8)}
ARGS = argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("x"), arch="resnet50")
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
QUEUE = {"module.queue": torch.zeros(4, 4), "module.queue_ptr": torch.zeros(1)}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def renamed(kind: Any, state: State) -> State:
    """``state`` of torchvision's names under those of ``kind``."""
    ours = {torchvision_name(p): p.ours() for p in map(Parameter.parse, OWN.state_dict()) if p}
    return {
        parameter_name(kind, f"backbone.{ours[name]}"): value
        for name, value in state.items()
        if name in ours
    }


def detector_c4() -> State:
    """detectron2's C4: conv5_x is in the heads."""
    state = {
        ("roi_heads." if name.startswith("res5") else "backbone.") + name: value
        for name, value in renamed("detectron2 backbone", BODY).items()
    }
    return state | {
        "pixel_mean": torch.tensor([103.53, 116.28, 123.675])[:, None, None],
        "pixel_std": torch.ones(3, 1, 1),
        "proposal_generator.rpn_head.conv.weight": torch.ones(4, 4),
        "roi_heads.box_predictor.cls_score.weight": torch.ones(81, 4),
    }


def mmdetection_c4() -> State:
    """mmdetection's C4: the stages up to conv4_x, and conv5_x as the shared head."""
    state = {
        ("roi_head.shared_head." if name.startswith("layer4") else "backbone.") + name: value
        for name, value in BODY.items()
    }
    return state | {
        "rpn_head.rpn_conv.weight": torch.ones(4, 4),
        "roi_head.bbox_head.fc_cls.weight": torch.ones(81, 4),
    }


CAFFE = "img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)"
AVERAGED = {"n_averaged": torch.tensor(3), **under("module.", FULL)}
PROJECTED = under("module.backbone.", BODY) | under("module.projector.", MLP)
HEAD = {"head.fc.weight": FULL["fc.weight"], "head.fc.bias": FULL["fc.bias"]}

# Each row of the table in docs/weights.md -> the files of that kind.
LAYOUTS: dict[str, list[Any]] = {
    "torchvision": [FULL, {"state_dict": FULL}],
    "torchvision's reference script": [
        {"model": FULL, "optimizer": OPTIMIZER, "epoch": 3, "args": ARGS},
        {"model": OTHER, "args": ARGS, "model_ema": AVERAGED},
        AVERAGED,
    ],
    "timm": [FULL],
    "timm's training checkpoints": [
        {"epoch": 3, "state_dict": FULL, "args": ARGS, "metric": np.float64(76)},
        {"state_dict": OTHER, "optimizer": OPTIMIZER, "version": 2, "state_dict_ema": FULL},
    ],
    "transformers": [
        {
            **under("resnet.", renamed("transformers", BODY)),
            "classifier.1.weight": FULL["fc.weight"],
            "classifier.1.bias": FULL["fc.bias"],
        },
        renamed("transformers", BODY),
    ],
    "MoCo v1, v2": [
        {
            "epoch": 200,
            "arch": "resnet50",
            "optimizer": OPTIMIZER,
            "state_dict": {
                **under("module.encoder_k.", DECOY),
                **under("module.encoder_q.", BODY),
                **projection,
                **QUEUE,
            },
        }
        for projection in (
            under("module.encoder_q.fc.", MLP),
            under("module.encoder_q.fc.", {"weight": torch.ones(8, 2048), "bias": torch.ones(8)}),
        )
    ],
    "MoCo v3": [
        {
            "state_dict": {
                **under("module.base_encoder.", BODY),
                **under("module.base_encoder.fc.", MLP),
                **under("module.momentum_encoder.", DECOY),
                **under("module.predictor.", MLP),
            },
            "scaler": {},
        }
    ],
    "SwAV": [
        {
            **under("module.", BODY),
            **under("module.projection_head.", MLP),
            "module.prototypes.weight": torch.ones(4, 4),
        }
    ],
    "DINO": [
        BODY,
        {
            "student": {**under("module.backbone.", DECOY), **under("module.head.", MLP)},
            "teacher": {**under("backbone.", BODY), **under("head.", MLP)},
            "optimizer": OPTIMIZER,
            "args": ARGS,
            "dino_loss": {"center": torch.zeros(1, 4)},
        },
    ],
    "SimSiam": [
        {
            "state_dict": {
                **under("module.encoder.", BODY),
                **under("module.encoder.fc.", MLP),
                **under("module.predictor.", MLP),
            }
        }
    ],
    "BYOL": [
        {"state_dict": under("online_net.0.", BODY) | under("target_net.0.", DECOY)},
        {"model": under("online_network.encoder.", BODY) | under("target_network.encoder.", DECOY)},
    ],
    "DenseCL, OpenSelfSup": [
        {"state_dict": BODY, "author": "DenseCL"},
        {
            "meta": {"epoch": 200},
            "state_dict": {
                **under("encoder_q.0.", BODY),
                **under("encoder_q.1.mlp.", MLP),
                **under("encoder_k.0.", DECOY),
                "queue": torch.zeros(4, 4),
                "queue2": torch.zeros(4, 4),
            },
        },
    ],
    "PixPro": [
        {
            "model": {
                **under("module.encoder.", BODY),
                **under("module.encoder_k.", DECOY),
                **under("module.projector.", MLP),
            },
            "opt": ARGS,
        }
    ],
    "Barlow Twins": [BODY, {"model": PROJECTED | {"module.bn.running_mean": torch.zeros(4)}}],
    "VICReg": [BODY, {"epoch": 9, "model": PROJECTED}],
    "solo-learn": [
        {
            "pytorch-lightning_version": "1.6.4",
            "state_dict": {
                **under("backbone.", BODY),
                **under("momentum_backbone.", DECOY),
                **under("projector.", MLP),
                "classifier.weight": torch.ones(5, 2048),
            },
            "callbacks": {"ModelCheckpoint": {"dirpath": pathlib.PurePosixPath("x")}},
            "hyper_parameters": collections.OrderedDict(lr=0.1, args=ARGS),
        }
    ],
    "Lightly, Lightning": [
        {
            "state_dict": {
                **under("backbone.", renamed("torchvision, numbered", BODY)),
                **under("backbone_momentum.", renamed("torchvision, numbered", DECOY)),
                **under("projection_head.layers.", MLP),
            }
        },
        {"state_dict": under("model.", FULL) | {"train_acc.tp": torch.zeros(1)}, "loops": {}},
    ],
    "mmpretrain": [{"meta": {"epoch": 100}, "state_dict": {**under("backbone.", BODY), **HEAD}}],
    "mmdetection's C4": [
        {"meta": {"config": f"{CAFFE} style='caffe'"}, "state_dict": mmdetection_c4()}
    ],
    "detectron2": [
        renamed("detectron2 backbone", BODY),
        {"model": detector_c4(), "__author__": "x", "scheduler": {}},
    ],
    "wrapped by torch": [
        under(prefix, FULL)
        for prefix in ("module.", "module.module.", "_orig_mod.", "module._orig_mod.")
    ],
    "nested otherwise": [
        {"checkpoint": {"net": {"state_dict": under("a.b.trunk.", BODY)}}},
        {"ema_state_dict": {"steps": 1, **under("module.", BODY)}, "state_dict": DECOY},
        {"model": BODY, "copy": dict(BODY)},
        [3, {"weights": BODY}],
    ],
}  # fmt: skip
CASES = [(name, i) for name, files in LAYOUTS.items() for i in range(len(files))]


def placed(path: Path) -> State:
    """The file as ``weights=`` reads it, checked against a backbone; torchvision's names."""
    found = read_backbone(path, OWN).weights
    check_weights(OWN, found, source=str(path))  # every name and every shape
    return {torchvision_name(p): found[p.ours()] for p in map(Parameter.parse, found) if p}


def check(found: State, expected: State = BODY) -> None:
    names = [name for name in expected if not name.endswith("num_batches_tracked")]
    assert len(found) == 265
    assert found.keys() == set(names)
    assert not [name for name in names if not same(found[name], expected[name])]


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit; of two tensors of one number each, these numbers."""
    if a.ndim and not any(a.stride()) and not any(b.stride()):
        return a.shape == b.shape and bool(a.flatten()[0] == b.flatten()[0])
    return torch.equal(a, b)


@pytest.mark.parametrize(("layout", "number"), CASES)
def test_each_tensor_of_a_published_layout_is_placed(
    layout: str, number: int, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(LAYOUTS[layout][number], path)
    check(placed(path))
    source = open_source(path)
    found = input_format(source, classifier_weights(source)[0])
    described = "detection" in layout or source.kind == "detectron2 detector"
    if layout == "detectron2" and not described:
        assert found == TORCHVISION  # as MoCo's converted files; MSRA's show pixels of 0 ... 255
    else:
        assert found == (MSRA if described else TORCHVISION)


@pytest.mark.parametrize("layout", ["torchvision", "timm", "transformers", "mmpretrain"])
def test_the_classifier_is_kept_where_there_is_one(layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout][0], tmp_path / "a.pth")
    weights, left_out = classifier_weights(open_source(tmp_path / "a.pth"))
    assert torch.equal(weights["fc.weight"], FULL["fc.weight"])
    assert torch.equal(weights["fc.bias"], FULL["fc.bias"])
    assert not [name for name in left_out if "fc" in name or "classifier" in name]


def test_mocos_projection_is_no_classifier(tmp_path: Path) -> None:
    torch.save(LAYOUTS["MoCo v1, v2"][1], tmp_path / "a.pth")
    weights, left_out = classifier_weights(open_source(tmp_path / "a.pth"))
    assert "fc.weight" not in weights
    assert "module.encoder_q.fc.weight" in left_out


def in_kind(value: Tensor, kind: torch.dtype) -> Tensor:
    return torch.tensor(float(value.flatten()[0]), dtype=kind).expand(value.shape)


@pytest.mark.slow
def test_the_files_of_other_precisions_and_formats(tmp_path: Path) -> None:
    for kind in (torch.float16, torch.bfloat16):
        given = {n: v.to(kind) if any(v.stride()) else in_kind(v, kind) for n, v in BODY.items()}
        torch.save(given, tmp_path / "a.pth")
        check(placed(tmp_path / "a.pth"), {n: v.float() for n, v in given.items()})
    for options in (
        {"_use_new_zipfile_serialization": False},
        {"pickle_protocol": 4},
        {"pickle_protocol": 5, "_use_new_zipfile_serialization": False},
    ):
        torch.save({"state_dict": BODY, "args": ARGS}, tmp_path / "a.pth.tar", **options)  # type: ignore[arg-type]
        check(placed(tmp_path / "a.pth.tar"))


@pytest.mark.slow
def test_safetensors_of_timm_and_of_transformers(tmp_path: Path) -> None:
    for state in (FULL, LAYOUTS["transformers"][0]):
        whole = {name: value.contiguous() for name, value in state.items()}
        save_file(whole, tmp_path / "a.safetensors", metadata={"format": "pt"})
        check(placed(tmp_path / "a.safetensors"))


def test_the_table_of_the_page_lists_these_layouts() -> None:
    page = (
        (ROOT / "docs" / "weights.md").read_text().partition("## Layouts")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \| (\d+) \|", page, flags=re.M)
    assert [name for name, _ in rows] == list(LAYOUTS)
    assert {number for _, number in rows} == {"265"}


def test_the_log_says_which_was_taken_and_what_was_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(LAYOUTS["DINO"][1], tmp_path / "dino.pth")
    own = ResNet(depth=50, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1)
    with caplog.at_level(logging.INFO):
        initialise_backbone(own, read_backbone(tmp_path / "dino.pth", own))
    assert torch.equal(own.conv5[2].conv_c.bn.bias, BODY["layer4.2.bn3.bias"])
    (warned,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert warned.endswith(
        "dino.pth: teacher.backbone is taken, and not student.module.backbone (to take that: "
        "weights_entry=student.module.backbone, or entry=student.module.backbone of "
        "detection import)"
    )
    assert "265 tensors into the backbone; left out: student, optimizer" in caplog.text
    assert "args (argparse.Namespace, not read)" in caplog.text
    assert "head.0.weight, head.1.weight, head.1.running_var" in caplog.text


def test_entry_chooses_another(tmp_path: Path) -> None:
    torch.save(LAYOUTS["DINO"][1], tmp_path / "a.pth")
    for entry in ("student", "student.module.backbone", "module.backbone"):
        weights, _ = classifier_weights(open_source(tmp_path / "a.pth", entry=entry))
        assert torch.equal(weights["backbone.conv1.conv.weight"], DECOY["conv1.weight"])
    with pytest.raises(ValueError, match=r"entry=pupil is none .*: student\.module\.backbone, tea"):
        open_source(tmp_path / "a.pth", entry="pupil")
    with pytest.raises(ValueError, match="2 different networks in it would do"):
        open_source(tmp_path / "a.pth", entry="backbone")


# The names of two networks that differ -> the one that is taken; None: it is asked.
TWO: list[tuple[tuple[str, str], str | None]] = [
    (("student.backbone.", "teacher.backbone."), "teacher.backbone"),
    (("modelTeacher.backbone.", "modelStudent.backbone."), "modelTeacher.backbone"),
    (("module.encoder_k.", "module.encoder_q."), "module.encoder_q"),
    (("backbone.", "backbone_k."), "backbone"),
    (("encoder.", "target_encoder."), "encoder"),
    (("net.", "ModelEMA.module."), "ModelEMA.module"),
    (("model.", "swa_model.module."), "swa_model.module"),
    (("left.", "right."), None),
    # "k", "ema" and "key" count as words of their own alone.
    (("schema.", "kernel."), None),
]


@pytest.mark.parametrize(("prefixes", "taken"), TWO)
def test_which_of_two_networks_is_taken_is_seen_in_their_names(
    prefixes: tuple[str, str], taken: str | None, tmp_path: Path
) -> None:
    one, other = (
        {"conv1.weight": torch.full((64, 3, 7, 7), n), "layer1.0.conv1.weight": torch.ones(1)}
        for n in (1.0, 2.0)
    )
    torch.save(under(prefixes[0], one) | under(prefixes[1], other), tmp_path / "a.pth")
    if taken is None:
        with pytest.raises(ValueError, match=r"2 different networks .*weights_entry="):
            open_source(tmp_path / "a.pth")
        return
    source = open_source(tmp_path / "a.pth")
    (left,) = {prefix.strip(".") for prefix in prefixes} - {taken}
    assert source.prefix == f"{taken}."
    assert source.choice.startswith(f"{taken} is taken, and not {left} (to take that: weights_ent")
    assert open_source(tmp_path / "a.pth", entry=left).prefix == f"{left}."


def test_copies_of_one_network_are_no_choice(tmp_path: Path) -> None:
    few = {"conv1.weight": torch.ones(2), "layer1.0.conv1.weight": torch.ones(1)}
    torch.save({"model": few, "model_ema": few}, tmp_path / "a.pth")
    assert open_source(tmp_path / "a.pth").choice == ""


@pytest.mark.parametrize(
    "other", [{"layer1.0.conv1.weight": (9,)}, {"layer1.5.conv1.weight": (1,)}]
)
def test_a_teacher_of_another_shape_is_no_average(other: Any, tmp_path: Path) -> None:
    student = {"conv1.weight": torch.ones(2), "layer1.0.conv1.weight": torch.ones(1)}
    teacher = student | {name: torch.ones(shape) for name, shape in other.items()}
    both = {"student": student, "teacher": teacher}
    torch.save(both, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"2 different networks in it would do: teacher, student"):
        open_source(tmp_path / "a.pth")


def test_weights_entry_chooses_for_a_training(tmp_path: Path) -> None:
    torch.save(LAYOUTS["DINO"][1], tmp_path / "a.pth")
    found = read_backbone(tmp_path / "a.pth", OWN, entry="student")
    assert torch.equal(found.weights["conv1.conv.weight"], DECOY["conv1.weight"])
    own = {n: torch.ones(()).expand(v.shape) for n, v in OWN.state_dict().items()}
    other = {n: torch.zeros(()).expand(v.shape) for n, v in own.items()}
    torch.save(under("a.", own) | under("b.", other), tmp_path / "a.pth")  # its own names
    found = read_backbone(tmp_path / "a.pth", OWN, entry="b")
    assert not found.weights["conv5.2.conv_c.bn.bias"].any()
    with pytest.raises(ValueError, match=r"entry=c is none of its networks: a, b"):
        read_backbone(tmp_path / "a.pth", OWN, entry="c")


def test_weights_entry_needs_weights() -> None:
    with pytest.raises(ValueError, match=r"weights_entry=student chooses .* no weights= is given"):
        InitialWeights(backbone=None, entry="student", detector=None, new_classes=False)


def test_two_networks_of_which_none_is_better_are_asked_about(tmp_path: Path) -> None:
    torch.save({"left": BODY, "right": DECOY}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: 2 different .*: left, right; .*entry=\.\.\."):
        open_source(tmp_path / "a.pth")


def fpn(prefix: str, pyramid: str, head: str) -> State:
    return {**under(prefix, BODY), pyramid: torch.ones(1), head: torch.ones(1)}


DEEP = {n: v for n, v in BODY.items() if n != "conv1.weight"} | {"conv1.0.weight": torch.ones(1)}
REFUSED: list[tuple[Any, str]] = [
    (NETWORK, r"a pickled torchvision\.models\.resnet\.ResNet, which needs its own code"),
    (DEEP, r"'conv1\.0\.weight' is one of several .*deep stem"),
    (
        fpn("backbone.body.", "backbone.fpn.inner_blocks.0.0.weight", "rpn.head.cls_logits.weight"),
        r"'backbone\.fpn\.inner_blocks.*feature pyramid",
    ),
    (fpn("backbone.", "neck.lateral_convs.0.conv.weight", "rpn_head.rpn_conv.bias"), "pyramid"),
    (
        {"model": fpn("backbone.bottom_up.", "backbone.fpn_lateral2.weight", "roi_heads.x.weight")},
        r"'backbone\.fpn_lateral2\.weight' is no parameter .*pyramid",
    ),
    (mmdetection_c4() | {"bbox_head.fc_cls.weight": torch.ones(1)}, "of mmdetection 1"),
    ({"layer1.0.conv1.weight": torch.ones(1), "bn1.weight": torch.ones(1)}, "is missing"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_what_cannot_go_in_is_said(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        placed(tmp_path / "a.pth")


def test_a_program_of_torchscript_is_not_started(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: a TorchScript program, which is code"):
        read_content(tmp_path / "a.pt")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(LAYOUTS["SwAV"][0], tmp_path / "a.pth")
    reads: list[Any] = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: reads.append(a) or load(*a, **k))
    placed(tmp_path / "a.pth")
    assert len(reads) == 1
