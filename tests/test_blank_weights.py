"""A network that gets its weights from a file is not filled with random ones first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detection.blank_weights import BlankWeights
from detection.build import build
from detection.checkpoint import Checkpoint
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.inference.load import load_model


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """A whole detector: ResNet-18, a BN that learns, global context."""
    composed = compose_config(
        "train", ["experiment=demo", "model.backbone.norm=trained_extra", "model.context=true"]
    )
    return as_plain(composed.model) | {"num_classes": 3}


@pytest.fixture(scope="module")
def saved(config: dict[str, Any]) -> Checkpoint:
    torch.manual_seed(1)
    return checkpoint(config, build(config).state_dict())


def checkpoint(config: dict[str, Any], weights: dict[str, Tensor]) -> Checkpoint:
    return Checkpoint(
        weights=weights,
        model_config=config,
        class_names=["a", "b", "c"],
        category_ids=[1, 2, 3],
        resize={},
        inference={},
    )


def same_tensors(one: nn.Module, other: nn.Module) -> bool:
    """Those that are saved and those that are not, with their layouts in memory."""
    ours, theirs = (dict([*m.named_parameters(), *m.named_buffers()]) for m in (one, other))
    return ours.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name])
        and value.stride() == theirs[name].stride()
        and value.requires_grad == theirs[name].requires_grad
        for name, value in ours.items()
    )


def test_a_loaded_model_is_what_it_is_with_random_weights_first(
    config: dict[str, Any], saved: Checkpoint
) -> None:
    first_random = build(config)
    first_random.load_state_dict(saved.weights)
    loaded = saved.build_model()
    assert same_tensors(loaded, first_random)
    anchors = [model.rpn.anchors.at_origin for model in (loaded, first_random)]
    assert torch.equal(*anchors)


def test_to_load_draws_no_random_numbers(saved: Checkpoint) -> None:
    before = torch.get_rng_state()
    saved.build_model()
    load_model(saved, winograd=True, regions_at_once=64, trust=())  # folds BN, too
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_that_is_missing_is_refused(config: dict[str, Any], saved: Checkpoint) -> None:
    weights = dict(saved.weights)
    del weights["backbone.conv3.0.conv_a.conv.weight"]
    with pytest.raises(ValueError, match=r"conv3\.0\.conv_a\.conv\.weight is missing"):
        checkpoint(config, weights).build_model()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(3, 4, 3),
        lambda: nn.Linear(3, 4),
        lambda: nn.init.kaiming_normal_(torch.empty(3, 4)),
        lambda: nn.init.xavier_uniform_(torch.empty(3, 4)),
        lambda: nn.init.trunc_normal_(torch.empty(3, 4)),
        lambda: nn.init.normal_(tensor=torch.empty(3, 4)),
    ],
)
def test_no_initialisation_draws_within_it(make: Callable[[], Any]) -> None:
    before = torch.get_rng_state()
    with BlankWeights():
        make()
    assert torch.equal(torch.get_rng_state(), before)
    make()
    assert not torch.equal(torch.get_rng_state(), before)


def test_what_is_not_random_is_as_ever() -> None:
    with BlankWeights():
        norm, constant = nn.BatchNorm2d(3), nn.init.constant_(torch.empty(2), 0.5)
    assert torch.equal(norm.weight, torch.ones(3))
    assert torch.equal(norm.running_var, torch.ones(3))
    assert torch.equal(constant, torch.full((2,), 0.5))


def test_classes_of_other_packages_are_made_as_they_make_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What such a class draws may be no weight, and be kept.
    drawn = []
    monkeypatch.setattr(
        nn.Linear, "reset_parameters", lambda self: drawn.append(nn.init.uniform_(self.weight))
    )
    foreign = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 2, "bias": False}
    before = torch.get_rng_state()
    model = checkpoint(foreign, {"weight": torch.ones(2, 1)}).build_model(trust=["torch"])
    assert torch.equal(model.weight, torch.ones(2, 1))
    assert drawn
    assert not torch.equal(torch.get_rng_state(), before)


def test_a_configuration_of_more_than_the_weights_is_refused_before_it_is_built(
    config: dict[str, Any], saved: Checkpoint
) -> None:
    wide = config | {"rpn": config["rpn"] | {"hidden_channels": 300_000}}
    asked = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.empty:
                asked.append(args)
            return func(*args, **kwargs or {})

    with Watch(), pytest.raises(ValueError, match="the configuration of the checkpoint describes"):
        checkpoint(wide, saved.weights).build_model()
    assert not any(300_000 in args[0] for args in asked if args and isinstance(args[0], tuple))
