"""Reads pickles of Caffe2, detectron2 and others without running anything that is in them.

A pickle is a program: it may import any function and call it.  Here the names in ``ALLOWED`` lead
to code of this file, and every other one to an inert :class:`Skipped`: nothing is ever imported.
Even the arrays are built here, after their shape, type and bytes have been checked, and not by
numpy's functions for pickles.  Who asks for a function that runs things is refused by its name.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

# numpy's kinds of numbers, text and bytes: no objects, structures or dates.
KINDS = "?bBiufSU"


class _DType:
    """A type as the file describes it, by numpy's code such as ``<f4``."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        code = self.code.lstrip("<>=|")
        if code[:1] not in KINDS:
            raise pickle.UnpicklingError(f"an array of type {self.code!r}, which is no number")
        kind = np.dtype(code)
        return kind.newbyteorder(">") if self.order == ">" else kind


class Array:
    """An array that a file describes; ``error`` says why it could not be built."""

    def __init__(self, *_: object) -> None:
        self.built: np.ndarray[Any, Any] | None = None
        self.error = "an array without contents"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, column_major, data = state[-4:]
        try:
            self.built = _build(data, dtype, shape, "F" if column_major else "C")
        except pickle.UnpicklingError as error:  # only fatal where it is a weight
            self.error = str(error)


class Skipped:
    """Stands for an object of another package, whatever the file does with it.

    ``kind``: the full name of its class.  ``items``: what it holds, if it is a mapping.
    """

    kind = ""
    items: dict[Any, Any]

    def __new__(cls, *_: object, **__: object) -> Skipped:
        made = object.__new__(cls)
        made.items = {}
        return made

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, _: object) -> None:
        pass

    def extend(self, _: object) -> None:
        pass

    def add(self, _: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> Skipped:
        return self


def _build(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _DType) or not isinstance(data, (bytes, bytearray, str)):
        raise pickle.UnpicklingError("an array without type or bytes")
    if isinstance(data, str):  # Python 2 wrote bytes and text alike
        data = data.encode("latin1")
    kind = dtype.dtype()
    if not all(type(side) is int and side >= 0 for side in shape):
        raise pickle.UnpicklingError("an array whose shape is no list of whole numbers")
    if math.prod(shape) * kind.itemsize != len(data):
        raise pickle.UnpicklingError(f"{len(data)} bytes for an array of {list(shape)} {kind}")
    array = np.frombuffer(data, dtype=kind).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(kind.newbyteorder("="), copy=True)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    """How protocol 5 writes an array."""
    return _build(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    try:
        return _build(data, dtype, (), "C").item()
    except pickle.UnpicklingError:  # a date, say: no number, and no weight
        return type("Skipped", (Skipped,), {"kind": "numpy.generic"})()


def _reconstructor(kind: Any, *_: object) -> Any:
    """``copyreg._reconstructor``, with which the oldest protocols make an object of a class."""
    return kind() if isinstance(kind, type) and issubclass(kind, Skipped) else Skipped()


def _latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode``, with which Python 3 writes bytes for Python 2; only latin1 is allowed."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """``bytes()``, with which Python 3 writes empty bytes for Python 2."""
    return b""


_NUMPY = {
    "multiarray._reconstruct": Array,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _from_buffer,
}
ALLOWED: dict[str, Any] = {
    # numpy 2 calls core _core.
    **{f"numpy.{core}.{name}": code for core in ("core", "_core") for name, code in _NUMPY.items()},
    "numpy.ndarray": Array,  # an argument of _reconstruct
    "numpy.dtype": _DType,
    "_codecs.encode": _latin1,
    "__builtin__.bytes": _empty_bytes,
    "collections.OrderedDict": OrderedDict,
    **dict.fromkeys(("copyreg._reconstructor", "copy_reg._reconstructor"), _reconstructor),
}

# Nothing of them would be imported either; but who asks for them has no weights in mind.
_HOSTILE = frozenset(
    """os posix nt sys subprocess commands shutil socket runpy importlib imp ctypes code codeop pty
    webbrowser pickle _pickle cPickle marshal types inspect pdb bdb timeit pip operator io _io
    numpy.load numpy.fromfile numpy.loadtxt numpy.genfromtxt
    torch.load torch.hub torch.jit torch.serialization.load""".split()  # noqa: SIM905
) | {
    f"{module}.{function}"
    for module in ("builtins", "__builtin__")
    for function in """eval exec execfile compile open file getattr setattr delattr globals locals
    vars input breakpoint apply reload memoryview""".split()  # noqa: SIM905
}
_HARMLESS = frozenset(("types.SimpleNamespace", "io.BytesIO", "_io.BytesIO"))


class Refused(Exception):
    """What a file wants to import."""


class _Function:
    """A function that a file may call, and not change: a pickle may set attributes of things."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError("attributes of a function")


class SafeUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python: a few bytes cannot make its memo gigabytes large, as C's.

    ``allowed``: what names lead to, besides ``ALLOWED``.
    """

    allowed: Mapping[str, Any] = ALLOWED

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in self.allowed:
            found = self.allowed[full]
            return _Function(found) if isinstance(found, FunctionType) else found
        parents = full.split(".")
        asked = {".".join(parents[: i + 1]) for i in range(len(parents))}
        if "__" in name or (asked & _HOSTILE and full not in _HARMLESS):
            raise Refused(full)
        return type("Skipped", (Skipped,), {"kind": full})

    def get_extension(self, _: int) -> Any:
        raise Refused("an extension")

    def persistent_load(self, _: object) -> Any:
        raise Refused("a persistent object")


def load_pickle(path: Path) -> Any:
    """The containers, numbers, text and numpy arrays in ``path``; other objects are Skipped.

    Raises ValueError if the file is damaged, or wants to import what may run code.
    """
    try:
        with path.open("rb") as file:
            return _finished(SafeUnpickler(file, encoding="latin1").load())  # Python 2's text
    except Refused as error:
        raise refusal(path, error) from None
    except OSError:
        raise
    except Exception as error:  # Foreign bytes are opcodes to the unpickler: anything may come out.
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not a readable pickle of weights ({reason})") from None


def refusal(path: Path, asked: Refused) -> ValueError:
    """The error for a file that asks for what may run code."""
    rule = "Weights need arrays and containers alone; whatever else a pickle imports may run code"
    return ValueError(f"{path}: refused: it wants to import {asked}. {rule}")


def _finished(value: Any, done: dict[int, tuple[Any, Any]] | None = None) -> Any:
    """``value`` with numpy arrays in place of :class:`Array`; ``done``: each object is met once."""
    done = {} if done is None else done
    if id(value) not in done:
        done[id(value)] = value, _replaced(value, done)
    return done[id(value)][1]


def _replaced(value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    if isinstance(value, Array):
        if value.built is None:
            raise pickle.UnpicklingError(value.error)
        return value.built
    if isinstance(value, dict):
        return {key: _finished(item, done) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finished(item, done) for item in value]
    return value
