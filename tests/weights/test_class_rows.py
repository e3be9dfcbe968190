"""A detector goes on with other classes: rows move by name, and nothing that is known is lost."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.inference.detector import Detector
from detection.model.faster_rcnn import FasterRCNN
from detection.model.roi_head import RoIHead
from detection.weights.class_rows import match_classes
from detection.weights.initialise import InitialWeights

NAMES = ["star", "circle", "cross"]


PACKAGE = [__name__.partition(".")[0]]


class Tiny(nn.Module):
    """A backbone of two convolutions, to be quick."""

    stride = 16
    bin_step = 1
    feature_channels = 8
    region_channels = 16
    region_layers = ("last",)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 16, stride=16)
        self.last = nn.Conv2d(8, 16, 3)

    def features(self, pixels: Tensor) -> Tensor:
        return self.first(pixels)

    def region_features(self, pooled: Tensor) -> Tensor:
        return self.last(pooled).mean(dim=(2, 3))


@functools.cache
def train_config() -> DictConfig:
    small = ["model.rpn.hidden_channels=8", "model.roi_head.class_init_std=0.1"]
    return compose_config("train", ["data.root=x", *small])


def model_config(classes: int) -> dict[str, Any]:
    backbone = {"_target_": f"{__name__}.Tiny"}
    return as_plain(train_config().model) | {"num_classes": classes, "backbone": backbone}


def detector(classes: int) -> FasterRCNN:
    model = build(model_config(classes), trust=PACKAGE)
    assert isinstance(model, FasterRCNN)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of three classes whose layers have other numbers than any new one."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("trained") / "best.pt"
    Checkpoint(
        weights=detector(3).state_dict(),
        model_config=model_config(3),
        resize={
            "_target_": "detection.data.transforms.Resize",
            "shorter_sides": [64],
            "longest": 128,
        },
        inference=as_plain(train_config().inference),
        class_names=NAMES,
        category_ids=[1, 2, 3],
    ).save(path)
    return path


def started(
    path: Path, names: Sequence[str], **options: bool
) -> tuple[FasterRCNN, tuple[str, ...]]:
    torch.manual_seed(4)
    model = detector(len(names))
    initial = InitialWeights(
        backbone=None, entry=None, detector=path, new_classes=options.get("new_classes", False)
    )
    return model, initial.load_into(model, names)


def rows(state: dict[str, Tensor], names: Sequence[str], name: str) -> list[Tensor]:
    """A class's rows of the four tensors of the two siblings: one logit, four deltas."""
    i = list(names).index(name)
    logits = [state[f"roi_head.logits.{kind}"][i + 1] for kind in ("weight", "bias")]
    deltas = [state[f"roi_head.deltas.{kind}"][4 * i : 4 * i + 4] for kind in ("weight", "bias")]
    return logits + deltas


def equal(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["cross", "star", "circle"], {"cross": "cross", "star": "star", "circle": "circle"}),
        (["circle", "star"], {"circle": "circle", "star": "star"}),
        (["moon", "star", "ring", "cross"], {"star": "star", "cross": "cross"}),
        (["Circle", "CROSS", "star"], {"Circle": "circle", "CROSS": "cross", "star": "star"}),
        (["moon", "circle", "ring"], {"circle": "circle"}),
    ],
)
def test_rows_of_known_classes_are_kept_bit_for_bit(
    trained: Path, names: list[str], known: dict[str, str]
) -> None:
    before = Checkpoint.load(trained).weights
    torch.manual_seed(4)
    fresh = detector(len(names)).state_dict()
    model, networks = started(trained, names)
    after = model.state_dict()
    for name in names:
        kept = name in known
        assert equal(
            rows(after, names, name),
            rows(before, NAMES, known[name]) if kept else rows(fresh, names, name),
        )
    for kind in ("weight", "bias"):  # the background's logit
        key = f"roi_head.logits.{kind}"
        assert torch.equal(after[key][0], before[key][0])
    others = [name for name in before if not name.startswith("roi_head.")]
    assert all(torch.equal(after[name], before[name]) for name in others)
    # What has a row that knows nothing has not been trained.
    assert networks == (("rpn", "fast_rcnn") if len(known) == len(names) else ("rpn",))


def test_a_detector_with_its_classes_in_another_order_detects_the_same(
    trained: Path, tmp_path: Path
) -> None:
    names = ["cross", "star", "circle"]
    model, _ = started(trained, names)
    given = Checkpoint.load(trained)
    Checkpoint(**vars(given) | {"weights": model.state_dict(), "class_names": names}).save(
        tmp_path / "a.pt"
    )
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8).numpy()
    found = []
    for path in (trained, tmp_path / "a.pt"):
        one = Detector.load(path, trust=PACKAGE)
        detections = one.detect_arrays([image])[0]
        labels = [one.class_names[int(label) - 1] for label in detections.labels]
        numbers = torch.column_stack([detections.scores, detections.boxes])
        order = sorted(range(len(labels)), key=lambda i: (labels[i], numbers[i].tolist()))
        found.append(([labels[i] for i in order], numbers[order]))
    assert len(found[0][0]) > 3
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1])


def test_what_moved_is_said_in_one_line(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        started(trained, ["Circle", "moon", "star"])
    assert (
        "best.pt: 2 of its classes are kept, some in another place; 1 of them written otherwise "
        "('circle' as 'Circle'); 1 new ones start anew (moon); 1 of its are not used (cross)"
    ) in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        started(trained, NAMES)
    assert caplog.text == ""


def test_classes_of_which_none_is_known_are_asked_about(trained: Path) -> None:
    with pytest.raises(ValueError, match=r"knows none of .* \(moon, ring\).*init_new_classes=true"):
        started(trained, ["moon", "ring"])
    model, networks = started(trained, ["moon", "ring"], new_classes=True)
    torch.manual_seed(4)
    fresh = detector(2).state_dict()
    assert equal(rows(model.state_dict(), ["moon"], "moon"), rows(fresh, ["moon"], "moon"))
    assert networks == ("rpn",)


def test_the_switch_does_nothing_to_what_is_known(trained: Path) -> None:
    names = ["cross", "moon"]
    without, _ = started(trained, names)
    with_it, _ = started(trained, names, new_classes=True)
    assert equal(list(without.state_dict().values()), list(with_it.state_dict().values()))


def test_the_switch_without_a_detector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"init_new_classes=true says .* no init= is given"):
        InitialWeights(backbone=None, entry=None, detector=None, new_classes=True)


@pytest.mark.parametrize(
    ("theirs", "ours", "known", "new"),
    [
        (["a", "A"], ["A", "a"], {0: 1, 1: 0}, ()),  # equal names come first
        (["a", "A"], ["ä", "a"], {1: 0}, ("ä",)),
        (["Dog", "DOG"], ["dog"], {}, ("dog",)),  # which of them?
        (["dog"], ["Dog", "DOG"], {}, ("Dog", "DOG")),
        (["traffic light"], ["Traffic_Light"], {0: 0}, ()),
        (["cafe\u0301"], ["café"], {0: 0}, ()),  # an accent of its own
        (["1"], ["01"], {}, ("01",)),
        (["1", "-1"], ["-1", "1", "1.0"], {0: 1, 1: 0}, ("1.0",)),
        (["-1"], ["1"], {}, ("1",)),
        (["0", "1"], ["1", "2"], {0: 1}, ("2",)),
        ([" traffic  light "], ["traffic-light"], {0: 0}, ()),
        (["\ufeffperson"], ["person"], {0: 0}, ()),  # the mark of UTF-8 before the first line
        (["sign\u200b"], ["sign"], {0: 0}, ()),
        (["traffic\u00a0light"], ["traffic light"], {0: 0}, ()),
        (["STRASSE"], ["Straße"], {0: 0}, ()),
        (["行人", "車"], ["車", "行人"], {0: 1, 1: 0}, ()),
        (["_"], ["__"], {}, ("__",)),
        (["a", "a"], ["a"], {}, ("a",)),  # a file that has a name twice
        (["dog", "Dog"], ["dog", "DOG"], {0: 0, 1: 1}, ()),
    ],
)
def test_names_are_matched_where_there_is_no_choice(
    theirs: list[str], ours: list[str], known: dict[int, int], new: tuple[str, ...]
) -> None:
    match = match_classes(theirs, ours)
    assert (match.known, match.new) == (known, new)


def test_a_choice_that_cannot_be_made_is_said() -> None:
    match = match_classes(["Dog", "DOG", "cat"], ["dog", "cat"])
    assert str(match) == (
        "1 of its classes are kept, some in another place; 1 new ones start anew (dog); "
        "which of 'Dog' or 'DOG' is 'dog' cannot be told; 2 of its are not used (Dog, DOG)"
    )
    twice = match_classes(["a", "a", "b"], ["a", "b"])
    assert "which of 'a' or 'a' is 'a' cannot be told" in str(twice)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["Cross ", "moon"], {"Cross ": "cross"}),
        (["CIRCLE", "Cross", "Star"], {"CIRCLE": "circle", "Cross": "cross", "Star": "star"}),
        (["star", "Star", "circle"], {"star": "star", "circle": "circle"}),
    ],
)
def test_rows_of_odd_names_are_moved_or_start_anew(
    trained: Path, names: list[str], kept: dict[str, str]
) -> None:
    before = Checkpoint.load(trained).weights
    model, _ = started(trained, names)
    torch.manual_seed(4)
    fresh = detector(len(names)).state_dict()
    for name in names:
        old = rows(before, NAMES, kept[name]) if name in kept else rows(fresh, names, name)
        assert equal(rows(model.state_dict(), names, name), old)


class AgnosticHead(RoIHead):
    """Boxes for all classes alike; and sigmoids, which have no background."""

    def __init__(self, *, in_channels: int, num_classes: int, **settings: Any) -> None:
        super().__init__(in_channels=in_channels, num_classes=num_classes, **settings)
        self.deltas = nn.Linear(in_channels, 4)
        self.logits = nn.Linear(in_channels, num_classes)


def test_a_head_of_another_package_is_moved_by_its_own_rows(tmp_path: Path) -> None:
    def config(classes: int) -> dict[str, Any]:
        made = model_config(classes)
        made["roi_head"]["_target_"] = f"{__name__}.AgnosticHead"
        return made

    given = build(config(3), trust=PACKAGE)
    content = Checkpoint(
        weights=given.state_dict(), model_config=config(3), resize={}, inference={},
        class_names=NAMES, category_ids=[1, 2, 3],
    )  # fmt: skip
    content.save(tmp_path / "a.pt")
    for names in (["cross", "star", "circle"], ["circle", "moon"]):
        model = build(config(len(names)), trust=PACKAGE)
        InitialWeights(
            backbone=None, entry=None, detector=tmp_path / "a.pt", new_classes=False
        ).load_into(model, names)
        assert torch.equal(model.roi_head.deltas.weight, given.roi_head.deltas.weight)
        place, old = names.index("circle"), NAMES.index("circle")
        kept = model.roi_head.logits.weight[place]
        assert torch.equal(kept, given.roi_head.logits.weight[old])
