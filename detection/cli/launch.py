"""Runs a command under its configuration, and turns what is wrong into one line.

Until the configuration stands nothing is imported that takes long, torch above all: a question or
a typing error is answered at once.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from detection.cli.arguments import parse
from detection.cli.commands import Command
from detection.cli.compose import check_values, compose_unchecked
from detection.cli.config_folders import groups_of, searched_first


def launch(command: Command, argv: list[str]) -> None:
    """Calls the command's ``main`` with its configuration under what the command line says.

    ``argv``: the program's name and the arguments, as in ``sys.argv``.

    ``--help`` prints the configuration.  What is wrong with the user's input (ValueError and
    files that are not there) ends the program with one line instead of a traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    program, *words = argv
    try:
        arguments = parse(command, words)
        with searched_first(arguments.config_dir):
            composed = compose_unchecked(command.config, arguments.overrides)
            arguments.fill(composed)
            if arguments.wants_help:
                print(_help(command, program, composed))
                return
            is_needed = functools.partial(_is_needed, command)
            check_values(command.config, composed, arguments.overrides, is_needed=is_needed)
            for key in sorted(OmegaConf.missing_keys(composed)):
                raise ValueError(_is_needed(command, key))
            gc.enable()
            importlib.import_module(command.module).main(composed)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        if os.environ.get("DETECTION_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")
    except MissingMandatoryValue as error:
        sys.exit(f"error: {_is_needed(command, error.full_key or 'a value')}")
    except HydraException as error:  # a class that does not take what it is given
        sys.exit(f"error: configuration: {' '.join(str(error).split())}")
    except OmegaConfBaseException as error:
        sys.exit(f"error: configuration: {str(error).splitlines()[0]}")


def _is_needed(command: Command, key: str) -> str:
    names = [positional.name for positional in command.positionals if positional.key == key]
    plain = f"{names[0]}, or " if names else ""
    return f"{key} is needed: add {plain}{key}=... to the command line (--help lists all)"


def _help(command: Command, program: str, composed: DictConfig) -> str:
    groups = groups_of(command.config)
    choices = "\n".join(f"  {name}={'|'.join(files)}" for name, files in groups.items())
    return (
        f"usage: {program} {command.usage}\n\n{_docstring(command.module)}\n\nGroups:\n{choices}"
        f"\n\nAll values (override any as key=value), from configs/{command.config}.yaml:\n\n"
        f"{OmegaConf.to_yaml(composed)}"
    )


def _docstring(module: str) -> str:
    """That of the command, read without importing it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""
