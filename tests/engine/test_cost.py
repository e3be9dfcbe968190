"""Parameters and multiply-adds: the paper's figures, and a network that is counted by hand."""

from __future__ import annotations

import pytest
import torch

from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.cli.describe import amount
from detection.cli.launch import launch
from detection.cli.objects import as_plain, make
from detection.engine.cost import classifier_cost, detector_cost


@pytest.mark.parametrize(
    ("words", "paper"),
    [  # He et al. 2015, table 1 and figure 3: billions of multiply-adds
        (["model.backbone.depth=18"], 1.8),
        (["model.backbone.depth=34"], 3.6),
        (["model.backbone.depth=34", "model.backbone.shortcut=none"], 3.6),
        (["model.backbone.depth=50"], 3.8),
        (["model.backbone.depth=101"], 7.6),
        (["model.backbone.depth=152"], 11.3),
        (["network=vgg19"], 19.6),
    ],
)
def test_multiply_adds_of_the_paper(words: list[str], paper: float) -> None:
    config = compose_config("classifier", ["data.root=x", *words])
    with torch.device("meta"):
        backbone = make(config.model.backbone)
    cost = classifier_cost(backbone, 1000, side=224)
    assert cost.multiply_adds / 1e9 == pytest.approx(paper, abs=0.07)


@pytest.mark.parametrize(("depth", "paper"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)])
def test_parameters_of_the_paper(depth: int, paper: float) -> None:  # table 6, millions
    words = ["experiment=classification/cifar", f"model.backbone.depth={depth}", "data.root=x"]
    with torch.device("meta"):
        backbone = make(compose_config("classifier", words).model.backbone)
    cost = classifier_cost(backbone, 10, side=32)
    assert cost.learnt / 1e6 == pytest.approx(paper, abs=0.04)
    assert cost.parameters > cost.learnt  # BN's statistics


@pytest.mark.parametrize("context", [False, True])
def test_a_detector_by_hand(context: bool) -> None:
    words = ["data.root=x", f"model.context={str(context).lower()}", "model.rpn.hidden_channels=64"]
    config = compose_config("train", [*words, "model.backbone.depth=50"])
    with torch.device("meta"):
        model = make(as_plain(config.model) | {"num_classes": 20})
    cost = detector_cost(model, height=64, width=96)
    cells, anchors = 4 * 6, 12
    assert cost.rpn.multiply_adds == cells * (9 * 1024 * 64 + 64 * 5 * anchors)
    assert cost.rpn.parameters == 9 * 1024 * 64 + 64 + 65 * 5 * anchors
    vector = 4096 if context else 2048
    siblings = vector * (21 + 4 * 20)
    # conv5 on 7x7: table 1's last stage of 0.81e9.
    assert cost.regions.multiply_adds - siblings == pytest.approx(0.732e9, rel=0.01)
    assert cost.regions.parameters - siblings - 101 == pytest.approx(14.98e6, rel=0.01)
    named = model.state_dict().items()
    assert cost.parameters == sum(t.numel() for name, t in named if not name.startswith("pixels."))
    one, two = cost.multiply_adds(1), cost.multiply_adds(2)
    assert two - one == cost.regions.multiply_adds


def test_the_commands_need_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    launch(COMMANDS["describe"], ["describe", "experiment=table9_refine"])
    text = capsys.readouterr().out
    assert "80 classes, a picture of 600x800 pixels, 2 passes of the head" in text
    assert "all, with 600 regions" in text
    launch(COMMANDS["describe-classifier"], ["describe", "model.backbone.depth=50"])
    assert "3.86 G multiply-adds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "regions", "seen"),
    [  # regions that go through conv5, and shared features by their pixels
        (["inference=single"], 300, [600]),
        (["inference=single", "inference.flip=true"], 600, [600, 600]),
        (["inference=multi_scale"], 600, [200, 400, 600, 800, 1000]),
        (["inference=multi_scale", "inference.multi_scale.maximum=pooled"], 300, None),
        (["inference=full"], 2400, 2 * [200, 400, 600, 800, 1000]),
        (["inference=refine", "inference.refinement.regions=every_class"], 300 * 81, [600]),
        (["inference=single", "model.context=true"], 301, [600]),
    ],
)
def test_the_steps_of_inference_count(
    words: list[str], regions: int, seen: list[int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["model.backbone.depth=50", "data.classes=null", "inference.multi_scale.longest=2000"]
    launch(COMMANDS["describe"], ["describe", "model=paper2015", *words, *small])
    rows = capsys.readouterr().out.splitlines()
    assert f"all, with {regions} regions" in rows[-2]
    if seen is None:
        return
    amounts = [_number(row) for row in rows[-5:-1]]
    shared = sum(amounts[0] * side**2 / 600**2 for side in seen)
    assert amounts[3] == pytest.approx(shared + amounts[1] + regions * amounts[2], rel=0.02)


def _number(row: str) -> float:
    number, unit = row.split()[-2:]
    return float(number) * {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}[unit]


def test_amounts_are_short() -> None:
    assert [amount(n) for n in (0, 999, 27_200, 3_860_000_000)] == ["0", "999", "27.2 k", "3.86 G"]
    assert amount(1_290_000_000_000) == "1.29 T"
