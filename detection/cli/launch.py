"""What the tools share.  Hydra's door: composes a configuration, says clearly what is wrong.

Hydra is asked to compose and to instantiate, and nothing else: it neither changes the working
directory nor makes folders nor configures logging.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from detection.checkpoint import HALVES, Checkpoint, ClassifierCheckpoint, build
from detection.data.transforms import Resize
from detection.engine.runtime import Runtime
from detection.inference.detector import Detector

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def launch(main: Callable[[DictConfig], None], *, config: str) -> None:
    """Calls ``main`` with configs/<config>.yaml under the overrides of the command line.

    ``--help`` prints the configuration.  What is wrong with the user's input (ValueError and
    files that are not there) ends the program with one line instead of a traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = sys.argv[1:]
    wants_help = "--help" in arguments or "-h" in arguments
    try:
        composed = compose_config(config, [a for a in arguments if a not in ("--help", "-h")])
        if wants_help:
            print(_help(main, config, composed))
            return
        main(composed)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        if os.environ.get("DETECTION_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")
    except MissingMandatoryValue as error:
        key = error.full_key or "a value"
        sys.exit(f"error: {key} is needed: add {key}=... to the command line (--help lists all)")
    except OmegaConfBaseException as error:
        sys.exit(f"error: configuration: {error}")


def compose_config(config: str, overrides: list[str]) -> DictConfig:
    """The configuration; ValueError names the nearest key or file if an override fits none."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = compose(config)
        try:
            composed = compose(config, overrides=overrides)
        except HydraException as error:
            known = _with_groups(config, overrides) or plain
            message = str(error)
            if isinstance(error, OverrideParseException):
                message = _cannot_be_parsed(error.override, message)
            raise ValueError(_explain(message, config, overrides, known)) from None
    _check_numbers(composed, plain, overrides)
    return composed


def _cannot_be_parsed(override: str, message: str) -> str:
    key, _, value = override.partition("=")
    said = f"{override}: cannot be read ({message.splitlines()[0]})"
    if "=" not in value or value.startswith(("[", "{", "'", '"')):
        return said
    return f"{said}; a value with = in it needs quotes within the shell's: '{key}=\"{value}\"'"


def _with_groups(config: str, overrides: list[str]) -> DictConfig | None:
    """The configuration under those overrides alone that choose files, if these are right."""
    groups = [o for o in overrides if (CONFIGS / o.partition("=")[0]).is_dir()]
    try:
        return compose(config, overrides=groups)
    except HydraException:
        return None


def _check_numbers(composed: DictConfig, plain: DictConfig, overrides: list[str]) -> None:
    """What is a number in the files must be one on the command line too."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        default = OmegaConf.select(plain, key, throw_on_missing=False)
        given = OmegaConf.select(composed, key, throw_on_missing=False)
        if isinstance(default, (int, float)) and not isinstance(given, (int, float, type(None))):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise ValueError(f"{override}: {key} must be {kind}, as {default} is")


def device_type(config: DictConfig) -> str:
    """What ``runtime.device`` comes down to: "cuda" or "cpu"."""
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return automatic if config.runtime.device == "auto" else config.runtime.device.split(":")[0]


Kind = TypeVar("Kind", Checkpoint, ClassifierCheckpoint)


def previous_run(folder: Path, kind: type[Kind], *, resume: bool) -> Kind | None:
    """The last checkpoint in ``folder`` to resume from; ValueError rather than overwriting one."""
    last = folder / "last.pt"
    if resume:
        return kind.load(last)
    if last.exists():
        raise ValueError(
            f"{last} exists: go on from it with resume=true, or choose another output_dir"
        )
    return None


def check_classes(
    previous: Checkpoint | ClassifierCheckpoint, class_names: Sequence[str], *, folder: Path
) -> None:
    """ValueError if a run is resumed with other classes, which its labels would then stand for."""
    if list(previous.class_names) != list(class_names):
        raise ValueError(
            f"{folder / 'last.pt'} was trained on {', '.join(previous.class_names)}, the data set "
            f"has {', '.join(class_names)}: resume=true needs the same classes in the same order"
        )


def load_detector(
    config: DictConfig, runtime: Runtime, *, networks: Sequence[str] = HALVES
) -> Detector:
    """The detector of ``config.checkpoint`` (several: an ensemble).

    ``networks``: those of its two that will be asked.

    It does what ``config.inference`` says, or else the checkpoint, changed where the other values
    of the configuration are not null.
    """
    several = OmegaConf.is_list(config.checkpoint)
    chosen = config.get("inference")
    given = Resize(shorter_sides=[config.shorter_side], longest=config.longest)
    detector = Detector.load(
        list(config.checkpoint) if several else config.checkpoint,
        device=runtime.device,
        precision=runtime.precision,
        winograd=runtime.winograd,
        inference=None if chosen is None else build(as_plain(chosen)),
        resize=None if None in (config.shorter_side, config.longest) else given,
        networks=networks,
    )
    post_processing = detector.inference.post_processing
    changes = _given(config, "score_threshold", "nms_iou", "per_image")
    if changes:
        if not (
            is_dataclass(post_processing) and all(hasattr(post_processing, n) for n in changes)
        ):
            raise ValueError(
                f"{', '.join(changes)}: {type(post_processing).__name__}, the detector's "
                "inference.post_processing, has no such settings; leave them out"
            )
        detector.inference = replace(
            detector.inference, post_processing=replace(post_processing, **changes)
        )
    detector.resize = replace(detector.resize, **_given(config, "longest"))
    if config.shorter_side is not None:
        detector.resize = replace(detector.resize, shorter_sides=[config.shorter_side])
    if config.proposals is not None:
        for model in detector.models:
            rpn = model.rpn
            rpn.test_proposals = replace(rpn.test_proposals, after_nms=config.proposals)
    return detector


def _given(config: DictConfig, *names: str) -> dict[str, Any]:
    return {name: config[name] for name in names if config[name] is not None}


def as_plain(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain containers."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _help(main: Callable[[DictConfig], None], config: str, composed: DictConfig) -> str:
    description = (sys.modules[main.__module__].__doc__ or "").strip()
    groups = "\n".join(f"  {name}={'|'.join(files)}" for name, files in _groups(config).items())
    return (
        f"{description}\n\nGroups:\n{groups}\n\nAll values (override any as key=value), from "
        f"configs/{config}.yaml:\n\n{OmegaConf.to_yaml(composed)}"
    )


def _groups(config: str) -> dict[str, list[str]]:
    """The groups that configs/<config>.yaml chooses a file of, those within them, and the files."""
    names: list[str] = []
    found: dict[str, list[str]] = {}
    content = OmegaConf.load(CONFIGS / f"{config}.yaml")
    assert isinstance(content, DictConfig)
    for entry in content.get("defaults", []):
        if isinstance(entry, DictConfig):
            names += [str(key).split()[-1] for key in entry]
        elif entry != "_self_":
            found |= _groups(entry)
    for name in names:
        folder = CONFIGS / name
        files = folder.rglob("*.yaml") if name == "experiment" else folder.glob("*.yaml")
        found[name] = sorted(str(file.relative_to(folder).with_suffix("")) for file in files)
        if name != "experiment":
            within = (f"{name}/{inner.name}" for inner in folder.iterdir() if inner.is_dir())
            found |= {group: sorted(f.stem for f in (CONFIGS / group).glob("*.yaml"))
                      for group in within}  # fmt: skip
    return dict(sorted(found.items()))


def _explain(message: str, config: str, overrides: list[str], plain: DictConfig) -> str:
    groups = _groups(config)
    known = [*_keys(plain), *groups]
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        deletes = override.startswith("~")
        if not re.fullmatch(r"[\w.@/-]+", key) or not (deletes or "=" in override):
            return f"{override!r} is no override: write key=value, for example data.root=/path"
        if key in groups and value not in (*groups[key], "null"):
            return f"{override}: there is no such {key}; {_nearest(value, groups[key])}"
        group = key.partition(".")[0]
        if group not in groups and group not in plain and (CONFIGS / group).is_dir():
            return f"{override}: this tool takes no {group}; --help lists what it takes"
        if "." in key and group in groups and group not in plain:
            return f"{override}: choose {group}= first, one of {', '.join(groups[group])}"
        if key not in known and key.split(".")[-1] in message:
            return f"{override}: there is no key {key!r}; {_nearest(key, known)}"
    return message


def _nearest(wrong: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(wrong, choices, n=1, cutoff=0.5)
    if not near:
        # The last part may be right and its place wrong: learning_rate for schedule.learning_rate.
        near = [choice for choice in choices if choice.split(".")[-1] == wrong.split(".")[-1]]
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")
