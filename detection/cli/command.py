"""One command: its name, module, configuration and positional arguments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Positional:
    """A plain argument: a path, which becomes the value of ``key`` as it stands.

    ``several``: all that follow belong to it, as a list.  ``unless``: a key that makes this
    argument needless, as saved detections do with a checkpoint.  ``optional``: whether the
    command does without it.
    """

    name: str
    key: str
    several: bool = False
    unless: str | None = None
    optional: bool = False

    def __str__(self) -> str:
        shown = f"{self.name}..." if self.several else self.name
        return f"[{shown}]" if self.optional else shown


@dataclass(frozen=True)
class Command:
    """``module`` is imported after the configuration stands: torch takes seconds to load.

    ``config``: the file of configs/.  ``output``: the key that ``-o`` sets, if there is one.
    ``computes``: whether it runs a network, whose threads are chosen before torch is imported.
    ``follows``: whether it looks at what else runs from time to time, and changes its threads.
    ``without``: keys of ``config`` that this command does not look at, which need no value here.
    ``examples``: of a command that shares ``config`` with another one, whose examples stand there.
    """

    name: str
    module: str
    config: str
    help: str
    positionals: tuple[Positional, ...] = ()
    output: str | None = "output_dir"
    computes: bool = True
    follows: bool = False
    without: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """What follows the command's name."""
        names = [str(positional) for positional in self.positionals]
        output = ["[-o OUTPUT]"] if self.output else []
        return " ".join([*names, *output, "[--config FILE] [--config-dir DIR] [key=value ...]"])
