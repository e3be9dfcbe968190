"""Runs a command under its configuration, and turns what is wrong into one line.

Until the configuration stands nothing is imported that takes long, torch above all: a question or
a typing error is answered at once.
"""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import re
import sys
from types import ModuleType

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from detection.cli.arguments import parse
from detection.cli.command import Command
from detection.cli.compose import check_values, compose_unchecked
from detection.cli.config_folders import searched_first
from detection.cli.door import (
    choose_threads,
    escape_names,
    keep_prepared_convolutions,
    speak_utf8,
)
from detection.cli.faults import fault
from detection.cli.follow_detector import follow_detector
from detection.cli.follow_weights import follow_file
from detection.cli.help import help_text
from detection.cli.inputs import check_inputs
from detection.cli.missing import remedy_for
from detection.cli.overrides import key_of
from detection.cli.run_config import as_default
from detection.cli.shown_values import shown_values
from detection.cli.standard_output import show, write_no_more


def launch(command: Command, argv: list[str]) -> None:
    """Calls the command's ``main`` with its configuration under what the command line says.

    ``argv``: the program's name and the arguments, as in ``sys.argv``.

    ``--help`` prints what the command takes.  What is wrong with the user's input (ValueError and
    files that are not there) ends the program with one line instead of a traceback.
    """
    speak_utf8()
    escape_names()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    program, *words = argv
    try:
        arguments = parse(command, words)
        with (
            searched_first(arguments.config_dir),
            as_default(arguments.config, command.config) as own,
        ):
            composed = compose_unchecked(command.config, arguments.overrides, given=own)
            arguments.fill(composed)
            if arguments.wants_help:
                shown = help_text(
                    command,
                    program,
                    shown_values(composed),
                    overrides=arguments.overrides,
                    everything=arguments.wants_help == "all",
                )
                show(shown)
                return
            for key in command.without:
                part, _, name = key.rpartition(".")
                if OmegaConf.is_missing(composed[part], name):
                    OmegaConf.update(composed, key, "-")
            is_needed = functools.partial(_is_needed, command)
            check_values(command.config, composed, arguments.overrides, is_needed=is_needed)
            for key in sorted(OmegaConf.missing_keys(composed)):
                raise ValueError(_is_needed(command, key))
            check_inputs(composed, without=command.without)
            if command.computes:
                exact = OmegaConf.select(composed, "runtime.deterministic")
                choose_threads(fixed=bool(exact) or not command.follows)
                if command.name.startswith("train"):
                    keep_prepared_convolutions()
            module = _imported(command)
            chosen = {*own, *map(key_of, arguments.overrides)}
            follow_file(composed, chosen)
            follow_detector(composed, chosen)
            module.main(composed)
    except ImportError as error:
        if os.environ.get("DETECTION_TRACEBACK") or (remedy := remedy_for(error)) is None:
            raise
        sys.exit(f"error: {remedy}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except BrokenPipeError:  # what reads us, such as head, has enough
        write_no_more()
    except (ValueError, OSError, FloatingPointError, MemoryError, RuntimeError) as error:
        if os.environ.get("DETECTION_TRACEBACK"):
            raise
        if (told := fault(error)) is not None:
            print(f"error: {told[0]}", file=sys.stderr)
            sys.exit(told[1])
        if isinstance(error, RuntimeError | MemoryError):
            raise
        sys.exit(f"error: {_shortened(_text(error))}")
    except MissingMandatoryValue as error:
        sys.exit(f"error: {_is_needed(command, error.full_key or 'a value')}")
    except HydraException as error:  # a class that does not take what it is given
        sys.exit(f"error: configuration: {' '.join(str(error).split())}")
    except OmegaConfBaseException as error:
        sys.exit(f"error: configuration: {str(error).splitlines()[0]}")


def _imported(command: Command) -> ModuleType:
    """The command's module, and with it torch."""
    # What is imported is never garbage: to look for some takes a tenth of the time, at each import
    # and, where it is not frozen, again while the command runs.
    gc.disable()
    try:
        return importlib.import_module(command.module)
    finally:
        gc.freeze()
        gc.enable()


def _text(error: Exception) -> str:
    """Of what the system says, the file first; our own errors stay as they are."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _shortened(text: str) -> str:
    """Without the middle of words that fill a screen: a file pasted by mistake."""
    return re.sub(r"\S{500,}", lambda word: f"{word[0][:60]}...{word[0][-60:]}", text)


def _is_needed(command: Command, key: str) -> str:
    names = [positional.name for positional in command.positionals if positional.key == key]
    plain = f"{names[0]}, or " if names else ""
    return f"{key} is needed: add {plain}{key}=... to the command line (--help lists all)"
