"""``schedule=auto``: writes what the recipe chooses into the configuration, and says why.

What is given on the command line or by --config stands in ``schedule.recipe.given`` and is left as
it is.  Afterwards ``schedule.recipe`` is null: the configuration that a run keeps holds the values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from detection.cli.detector_run import detector_run
from detection.cli.objects import make
from detection.cli.resumed_settings import begun_with
from detection.cli.run_config import lay_over
from detection.cli.shown_values import as_word
from detection.cli.training_data import TrainingData
from detection.engine.distributed import Processes
from detection.engine.recipe.facts import DataFacts, DeviceFacts
from detection.engine.recipe.recipe import Choice, Recipe, Switches, longest_minutes
from detection.engine.recipe.rules import RULES, fit
from detection.engine.recipe.timing import STEPS, measure_steps, timed
from detection.engine.runtime import Runtime
from detection.weights.first import first_weights_here

log = logging.getLogger("train")

# What a run that is gone on with keeps of its own, where the command line says nothing else.
_KEPT = (
    "weights",
    "weights_entry",
    "init",
    "init_new_classes",
    "model",
    "data",
    "inference",
    "schedule",
)

# A user who has said one of these wants another network than published weights are of.
_OTHER_BACKBONE = (
    "weights",
    "init",
    "model.backbone.depth",
    "model.backbone.shortcut",
    "model.backbone.stride_in_1x1",
    "model.pixels",
)
# ... or another detector, whose backbone can still begin with ImageNet's.
_OTHER_DETECTOR = ("model.rpn.hidden_channels", "model.rpn.anchors", "model.context")


def fit_recipe(
    config: DictConfig, pictures: TrainingData, runtime: Runtime, processes: Processes
) -> None:
    """Fits ``config`` to the pictures and the device; needs a schedule with a recipe."""
    given = _Given(config)
    if config.resume and _as_before(config, given):
        return
    switches: Switches = make(config.schedule.recipe)
    facts = DataFacts.of(
        pictures.train,
        pictures.val,
        ignore_crowd=config.data.ignore_crowd,
        ignore_difficult=config.data.ignore_difficult,
    )
    device = _device(runtime, processes)
    said = []
    if switches.initial_weights:
        said += _initial_weights(config, given, processes)
    start = "detector" if config.init else "backbone" if config.weights else "nothing"
    recipe = Recipe(
        data=facts,
        device=device,
        starts_from=start,
        given=given,
        current=lambda key: OmegaConf.select(config, key),
    )
    said += fit(recipe, [name for name in RULES if getattr(switches, name)])
    for choice in said:
        _write(config, choice.values)
    config.schedule.recipe = None
    if processes.is_first:
        _say(facts, device, said)
    steps_are_given = given("schedule.rules.iterations")
    if config.dry_run and not steps_are_given:
        log.info("  time: the training says it after %d steps or fewer", STEPS)
    if config.dry_run or steps_are_given or not (switches.length and switches.validation):
        return
    _fit_time(config, pictures, runtime, processes, given, facts, switches.epochs)


def _fit_time(
    config: DictConfig,
    pictures: TrainingData,
    runtime: Runtime,
    processes: Processes,
    given: _Given,
    facts: DataFacts,
    epochs: float | None,
) -> None:
    """The steps that the time has room for, by the time of the first ones.

    ``epochs``: as the user has said; they take the time that they take.
    """
    run = detector_run(config, runtime, processes, pictures)
    run.check_folder()
    minutes = config.minutes or (inf if epochs else longest_minutes(facts.pictures))
    measured = measure_steps(run, minutes=minutes)
    values, reason = timed(
        processes.from_first(measured),
        steps=config.schedule.rules.iterations,
        validated=facts.validated,
        minutes=minutes,
        fill=config.minutes is not None,
    )
    _write(config, {key: value for key, value in values.items() if not given(key)})
    config.minutes = None  # the steps say it now
    log.info("time: %s", reason)


class _Given:
    """Whether a key is the user's: it, a part of it, or the file that it is in was named.

    A class of one's own (``model.backbone._target_``) has settings that no rule knows.
    """

    def __init__(self, config: DictConfig) -> None:
        self.named = [key.replace("/", ".") for key in config.schedule.recipe.given]
        self.keys = [key.removesuffix("._target_") for key in self.named]

    def __call__(self, key: str) -> bool:
        return any(
            key == own or key.startswith(f"{own}.") or own.startswith(f"{key}.")
            for own in self.keys
            if own not in ("schedule", "data")
        )


def _device(runtime: Runtime, processes: Processes) -> DeviceFacts:
    if runtime.device.type != "cuda":
        return DeviceFacts(is_gpu=False, memory=0.0, processes=processes.world_size)
    # What others leave, of the fullest GPU: all processes must come to the same recipe.
    free = torch.cuda.mem_get_info(runtime.device)[0] + torch.cuda.memory_reserved(runtime.device)
    memory = min(processes.gather(free)) / 2**30
    return DeviceFacts(is_gpu=True, memory=memory, processes=processes.world_size)


def _initial_weights(config: DictConfig, given: _Given, processes: Processes) -> list[Choice]:
    if config.weights or config.init or any(map(given, _OTHER_BACKBONE)):
        return []
    whole = not any(map(given, _OTHER_DETECTOR))
    fetch = not config.dry_run
    found = first_weights_here(fetch=fetch, whole=whole) if processes.is_first else None
    found = processes.from_first(found)
    values: dict[str, Any] = {}
    if found.detector:
        values = {"init": found.detector, "init_new_classes": True}
    elif found.backbone:
        values = {"weights": found.backbone}
    return [Choice("initial_weights", values, found.reason)]


def _as_before(config: DictConfig, given: _Given) -> bool:
    """Takes the values of the run that goes on; False if it has left none."""
    before = begun_with(Path(config.output_dir))
    if before is None:
        return False
    now = {key: OmegaConf.select(config, key) for key in given.named}
    plain = OmegaConf.to_container(before)
    assert isinstance(plain, dict)
    kept = {key: plain[key] for key in _KEPT if key in plain}
    with open_dict(config):
        lay_over(config, kept, only_known=False)
    for key, value in now.items():
        if value is not None and not isinstance(value, DictConfig):
            OmegaConf.update(config, key, value, force_add=True)
    config.schedule.recipe = config.minutes = None
    log.info("%s: its values are gone on with", Path(config.output_dir) / "config.yaml")
    return True


def _write(config: DictConfig, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        OmegaConf.update(config, key, value, merge=False, force_add=True)


def _say(facts: DataFacts, device: DeviceFacts, said: list[Choice]) -> None:
    on = f"a GPU with {device.memory:.0f} GiB free" if device.is_gpu else "a CPU"
    log.info(
        "The recipe for %d pictures with %d boxes of %d classes on %s (key=value changes any of "
        "it, schedule.recipe.RULE=false leaves a rule out):",
        facts.pictures,
        len(facts.boxes),
        facts.classes,
        on,
    )
    last = {key: choice for choice in said for key in choice.values}
    for choice in said:
        log.info("  %s: %s", choice.rule.replace("_", " "), choice.reason)
        for key, value in choice.values.items():
            if last[key] is choice:  # not what a later rule sets otherwise
                log.info("      %s=%s", key, as_word(value))
