"""Configuration -> the mini-batches that `detection train` with the same keys would begin with."""

from __future__ import annotations

import logging
from itertools import islice

from omegaconf import DictConfig, open_dict
from tqdm import tqdm

from detection.blank_weights import BlankWeights
from detection.build import build
from detection.checkpoint import Checkpoint
from detection.cli.detector_run import detector_run
from detection.cli.fit_recipe import fit_recipe
from detection.cli.given import leave_alone
from detection.cli.processes import runtime_and_processes
from detection.cli.training_data import open_training_data
from detection.data.batch_plan import BatchPlan
from detection.data.loader import TrainingImages
from detection.engine.training_run import TrainingRun
from detection.model.alternating import RPNAlone
from detection.model.faster_rcnn import FasterRCNN
from detection.report.batch_record import ConsumedPicture, consumed
from detection.report.data_content import Batches, ShownPicture
from detection.report.measure_batches import Asked, batch_pictures
from detection.weights.by_name import weights_file

log = logging.getLogger("show")

# Characters of all pictures of the mini-batches together, without their boxes.
CHARACTERS = 6_000_000
# As training has them, where this command has no such key.  dry_run: no steps are timed.
_AS_TRAINING = {"resume": False, "resume_with_changes": False, "dry_run": True}


def shown_batches(config: DictConfig) -> Batches:
    """The first ``config.batches`` mini-batches, and what a step would sample of them.

    Changes ``config``, as the training does: afterwards it says what was chosen.
    """
    run = training_as_it_begins(config)
    model = run.model
    assert isinstance(model, FasterRCNN)
    loader = run.batches(0)
    plan, images = loader.loader.batch_sampler, loader.loader.dataset  # type: ignore[attr-defined]
    assert isinstance(plan, BatchPlan)
    assert isinstance(images, TrainingImages)
    samples = config.anchors or config.regions
    number = min(config.batches, len(plan))
    asked = Asked(
        anchors=config.anchors,
        regions=config.regions,
        characters=CHARACTERS // (number * plan.batch_size),
    )
    if samples:
        run.initialise()
    # Fast R-CNN, the larger part, has nothing to say of anchors.
    network = run.network if config.regions or config.train_only else RPNAlone(model)
    model.to(run.runtime.device)
    network.train()
    pictures: list[ShownPicture] = []
    lacking: list[ConsumedPicture] = []
    padded = False
    steps = zip(islice(loader, number), plan, strict=False)
    for step, (batch, keys) in enumerate(tqdm(steps, total=number, desc="mini-batches"), start=1):
        seen = consumed(
            network,
            model,
            batch,
            accumulate=run.rules.accumulate,
            device=run.runtime.device,
            precision=run.runtime.precision,
            samples=samples,
        )
        pictures += batch_pictures(step, keys, seen, images, asked)
        padded |= any(one.pixels.shape[:2] != one.size for one in seen)
        lacking += [
            one
            for one in seen
            if (asked.anchors and one.anchors is None) or (asked.regions and one.regions is None)
        ]
    notes = _notes(config, batches=number)
    if lacking:
        notes.append("this network samples no anchors, or no regions, of its own: see train_only")
    facts = _facts(config, model, number, padded=padded)
    return Batches(facts=facts, notes=notes, pictures=pictures)


def training_as_it_begins(config: DictConfig) -> TrainingRun:
    """The training that the same keys would start, without a folder and before its first step."""
    with open_dict(config):
        for key, value in _AS_TRAINING.items():
            config[key] = value
    if config.checkpoint is not None:
        _take_model(config)
    with runtime_and_processes(config) as (runtime, processes):
        pictures = open_training_data(config)
        if config.schedule.get("recipe") is not None:
            fit_recipe(config, pictures, runtime, processes)
        return detector_run(config, runtime, processes, pictures)


def _take_model(config: DictConfig) -> None:
    """The network and the weights of ``config.checkpoint``, whatever the recipe would choose."""
    path = weights_file(config.checkpoint, kind="detector")
    checkpoint = Checkpoint.load(path)
    with BlankWeights():  # whether its classes may be built at all
        build(checkpoint.model_config, trust=list(config.trust))
    model = {key: value for key, value in checkpoint.model_config.items() if key != "num_classes"}
    config.model = model
    config.init = str(path)
    leave_alone(config, ["model", "init", "weights"])


def _notes(config: DictConfig, *, batches: int) -> list[str]:
    if not config.regions:
        return []
    if config.checkpoint is not None:
        return [f"the regions are sampled from the proposals of {config.checkpoint}"]
    start = config.init or config.weights
    random = start in (None, "random")
    what = "random weights, untrained" if random else f"{start}, not trained here yet"
    found = [
        f"the regions are those of a network that begins with {what}; checkpoint= shows those of a "
        "trained detector"
    ]
    if batches > 1:
        found.append(
            "training changes the network with each step: from the second mini-batch on it would "
            "propose, and so sample, other regions"
        )
    return found


def _facts(config: DictConfig, model: FasterRCNN, number: int, *, padded: bool) -> dict[str, str]:
    pixels, data = model.pixels, config.data
    mean, std = (
        ", ".join(f"{value:.4g}" for value in getattr(pixels, name).tolist())
        for name in ("mean", "std")
    )
    return {
        "mini-batches": f"{number} of {config.schedule.batch_size} pictures, the first of training",
        "shorter side": ", ".join(map(str, data.shorter_sides)) + f"; at most {data.longest}",
        "flipped": f"with probability {data.flip_probability:g}",
        **_changes(data),
        "input": f"{pixels.order}, minus ({mean}), divided by ({std})",
        "padding": "to the size of the largest; it is zero in the input, here the mean colour"
        if padded
        else "none: a step takes the pictures of each size apart",
        "seed": str(config.seed),
    }


def _changes(data: DictConfig) -> dict[str, str]:
    """Beside size and flip, where they are on."""
    found = {}
    if data.repeat_threshold:
        found["rare classes"] = (
            f"more often where fewer than {100 * data.repeat_threshold:g} % of the pictures show "
            "them"
        )
    if data.crop_probability:
        found["a part"] = (
            f"with probability {data.crop_probability:g}, of at least {data.crop_least:g} of the "
            "sides"
        )
    if data.size_step:
        found["sizes"] = f"multiples of {data.size_step}; one shorter side for a mini-batch"
    if data.colour:
        found["colours"] = f"brightness, contrast, saturation by up to {100 * data.colour:g} %"
    return found
