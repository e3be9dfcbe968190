"""The console command: ``detection COMMAND ...``, or ``python -m detection COMMAND ...``."""

from __future__ import annotations

import difflib
import gc
import sys

from detection.cli.commands import COMMANDS
from detection.cli.missing import remedy_for
from detection.cli.standard_output import show
from detection.version import __version__

_QUESTIONS = (["-h"], ["--help"], ["-h", "all"], ["--help", "all"])


def main() -> None:
    """Runs the command that the first argument names; without one, lists the commands."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        show(_overview())
        return
    if name == "--version":
        show(f"detection {__version__}")
        return
    if name.startswith("-"):
        sys.exit(f"error: {name}: the command comes first: detection COMMAND ...; see detection -h")
    if name not in COMMANDS:
        sys.exit(f"error: there is no command {name!r}; {_nearest(name)}")
    run(name, f"detection {name}", words)


def run(name: str, program: str, words: list[str]) -> None:
    """Runs a command, or answers a question about it.

    ``name``: of ``COMMANDS``; ``program``: how the user calls it; ``words``: the arguments.
    """
    # Until the command starts nothing is worth collecting: a tenth of the time until an answer.
    gc.disable()
    if words in _QUESTIONS and (answer := _answer(name, program, everything="all" in words)):
        show(answer)
        return
    # Hydra and OmegaConf are loaded for a command alone.
    try:
        from detection.cli.launch import launch
    except ImportError as error:
        if (remedy := remedy_for(error)) is None:
            raise
        sys.exit(f"error: {remedy}")
    launch(COMMANDS[name], [program, *words])


def _answer(name: str, program: str, *, everything: bool) -> str:
    """The help of a command; nothing if its configuration has to be composed for it."""
    from detection.cli.help import help_text
    from detection.cli.outline import outline

    command = COMMANDS[name]
    values = outline(command.config)
    if values is None:
        return ""
    return help_text(command, program, values, overrides=[], everything=everything)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items())
    return (
        "Faster R-CNN as in the appendix of Deep Residual Learning.\n\n"
        "usage: detection COMMAND ...\n\n"
        f"{lines}\n\n"
        "detection COMMAND --help shows what a command takes, detection --version the version."
    )


# What other programs call a command: the users of those find ours.
_OTHER_NAMES = {
    "predict": "detect", "infer": "detect", "inference": "detect",
    "val": "test", "validate": "test", "eval": "test", "evaluate": "test",
    "fit": "train", "finetune": "train", "convert": "import", "export": "export-weights",
    "server": "serve", "web": "serve", "api": "serve",
    "info": "describe", "settings": "env", "checks": "env", "version": "env",
}  # fmt: skip


def _nearest(wrong: str) -> str:
    if wrong in _OTHER_NAMES:
        return f"it is called {_OTHER_NAMES[wrong]!r} here"
    near = difflib.get_close_matches(wrong.replace("_", "-"), COMMANDS, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(COMMANDS)}"
