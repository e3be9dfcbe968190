"""Reads the ``.pkl`` files of Caffe2 and detectron2 without running anything that is in them.

A pickle is a program: it may import any function and call it.  Here it can import only the names in
``ALLOWED``; all but one of them lead to code of this file.  Even the arrays are built here, after
their shape, type and bytes have been checked, and not by numpy's functions for pickles.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

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


class _Array:
    """An array that a file describes; it is built once its state has been checked."""

    def __init__(self, *_: object) -> None:
        self.built: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, column_major, data = state[-4:]
        self.built = _build(data, dtype, shape, "F" if column_major else "C")


def _build(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _DType) or not isinstance(data, (bytes, bytearray, str)):
        raise pickle.UnpicklingError("an array without type or bytes")
    if isinstance(data, str):  # Python 2 wrote bytes and text alike
        data = data.encode("latin1")
    kind = dtype.dtype()
    if math.prod(shape) * kind.itemsize != len(data):
        raise pickle.UnpicklingError(f"{len(data)} bytes for an array of {list(shape)} {kind}")
    array = np.frombuffer(data, dtype=kind).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(kind.newbyteorder("="), copy=True)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    """How protocol 5 writes an array."""
    return _build(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    return _build(data, dtype, (), "C").item()


def _latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode``, with which Python 3 writes bytes for Python 2; only latin1 is allowed."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """``bytes()``, with which Python 3 writes empty bytes for Python 2."""
    return b""


_NUMPY = {
    "multiarray._reconstruct": _Array,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _from_buffer,
}
ALLOWED: dict[str, Any] = {
    # numpy 2 calls core _core.
    **{f"numpy.{core}.{name}": code for core in ("core", "_core") for name, code in _NUMPY.items()},
    "numpy.ndarray": _Array,  # an argument of _reconstruct
    "numpy.dtype": _DType,
    "_codecs.encode": _latin1,
    "__builtin__.bytes": _empty_bytes,
    "collections.OrderedDict": OrderedDict,
}


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's text

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, _: object) -> Any:
        raise _Refused("a persistent object")


def load_pickle(path: Path) -> Any:
    """The containers, numbers, text and numpy arrays in ``path``.

    Raises ValueError if the file is damaged, or wants to import anything else.  The error names
    what it wants to import; nothing has been imported then.
    """
    try:
        with path.open("rb") as file:
            return _finished(_Unpickler(file).load())
    except _Refused as error:
        raise ValueError(
            f"{path}: refused: it wants to import {error}. Weights need numpy arrays and "
            "containers alone; whatever else a pickle imports may run code"
        ) from None
    except OSError:
        raise
    except Exception as error:  # Foreign bytes are opcodes to the unpickler: anything may come out.
        raise ValueError(
            f"{path}: not a readable pickle of weights ({type(error).__name__}: {error})"
        ) from None


def _finished(value: Any) -> Any:
    """``value`` with numpy arrays in place of :class:`_Array`."""
    if isinstance(value, _Array):
        if value.built is None:
            raise pickle.UnpicklingError("an array without contents")
        return value.built
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finished(item) for item in value]
    return value
