"""Weights into a network, with an error for people where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """``load_state_dict`` with an error for people: see :func:`check_weights`."""
    check_weights(model, weights, source=source)
    model.load_state_dict(weights)


def check_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    show: Callable[[str], str] = str,
) -> None:
    """Raises ValueError that says what is missing, unknown or misshapen.

    ``show``: what the error calls a parameter.
    """
    own = model.state_dict()
    problems = [f"{show(name)} is missing" for name in own.keys() - weights.keys()]
    problems += [f"{show(name)} is unknown to the model" for name in weights.keys() - own.keys()]
    problems += [
        f"{show(name)} is {list(weights[name].shape)}, the model needs {list(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if problems:
        shown = "\n  ".join(sorted(problems)[:5])
        raise ValueError(
            f"{source} does not fit the model, it is of another architecture "
            f"({len(problems)} of {len(own)} tensors differ):\n  {shown}\n"
            "set model.backbone.depth, or model=, to what the weights were trained with"
        )
