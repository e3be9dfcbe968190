"""The door: what must be chosen before torch is loaded, said in one line."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys

from detection.atomic_write import ESCAPED
from detection.machine.cores import find_cores
from detection.machine.neighbours import free_cores
from detection.machine.threads import chosen_by, chosen_here, plan_threads

log = logging.getLogger(__name__)

# oneDNN prepares a convolution for each size of its input, and keeps 1,024 of them by default: ten
# to seventeen sizes of pictures in training.  Each takes some 40 kB.
_PREPARED = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY")
_KEPT = 8192


def choose_threads(*, fixed: bool = False) -> None:
    """Sets the variables that libgomp reads when it is loaded, unless torch is loaded already.

    ``fixed``: their number is the same whatever else runs.
    """
    if "torch" in sys.modules:
        return
    for name in chosen_by(os.environ)[1]:  # by a command that has started this one
        os.environ.pop(name, None)
    cores = find_cores()
    free = functools.partial(free_cores, cores)
    plan = plan_threads(os.environ, cores, free=free, fixed=fixed)
    os.environ.update(plan.variables)
    os.environ.update(chosen_here(plan.variables, process=os.getpid()))
    if os.environ.get("RANK", "0") == "0":
        log.info("%s", plan)


def keep_prepared_convolutions() -> None:
    """For training: sizes come again before what oneDNN prepared for them is thrown away.

    It reads the variable with the first convolution.  The user's own number wins.  A test or a
    server, whose pictures have sizes of their own, would keep a third of a GB for nothing.
    """
    if not any(name in os.environ for name in _PREPARED):
        os.environ[_PREPARED[0]] = str(_KEPT)


def speak_utf8() -> None:
    """Starts the program again in Python's UTF-8 mode, in a locale that is another (cron, Docker).

    Names of files would come as other texts than those of annotations, and be written as such.
    Python chooses it by itself for the locale C, unless PYTHONUTF8 or LC_ALL says otherwise.
    """
    if os.name != "posix" or sys.getfilesystemencoding() == "utf-8":
        return
    if sys.argv[0] in ("", "-"):  # typed, or piped in: it is read once
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def escape_names() -> None:
    """A file's name that is no UTF-8 is printed escaped, as the log does, and is no error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=ESCAPED)
