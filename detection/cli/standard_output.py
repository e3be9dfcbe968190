"""Texts for the user's eyes, on standard output, which `head` may close before it has all."""

from __future__ import annotations

import os
import sys


def show(text: str) -> None:
    """Prints ``text``; nothing is wrong if whoever reads it has enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        write_no_more()


def write_no_more() -> None:
    """After a BrokenPipeError: Python's own last flush would raise another one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
