"""Pickles of weights are read, and nothing in them is run."""

from __future__ import annotations

import argparse
import collections
import functools
import os
import pathlib
import pickle
import subprocess
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detection.weights.file_content import read_content
from detection.weights.safe_pickle import Skipped, load_pickle

CONTENT: dict[str, Any] = {
    "model": {
        "single": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([1.5, -2], dtype=np.float16),
        "big_endian": np.array([1, 2], dtype=">i4"),
        "by_columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "number": np.array(7),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "flags": np.array([True, False]),
    },
    "scalar": np.float32(0.5),
    "ordered": collections.OrderedDict(a=[1, (2.5, None)], b="text"),
    "bytes": b"\x00\xff",
    "__author__": "somebody",
    "matching_heuristics": True,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    found = load_pickle(path)
    for name, value in CONTENT["model"].items():
        assert found["model"][name].shape == value.shape
        assert found["model"][name].dtype == value.dtype.newbyteorder("=")
        assert np.array_equal(found["model"][name], value)
    assert found["scalar"] == 0.5
    assert found["ordered"] == {"a": [1, [2.5, None]], "b": "text"}
    assert found["bytes"] == b"\x00\xff"
    assert found["matching_heuristics"] is True


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    # What cPickle wrote for {"w": np.array([1.5], dtype="f4")}: bytes are str, and so are names.
    path = tmp_path / "weights.pkl"
    path.write_bytes(
        b"\x80\x02}q\x01U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x00\xc0?tbs."
    )
    found = load_pickle(path)
    assert list(found) == ["w"]
    assert found["w"].tolist() == [1.5]


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.mkdir, r"(posix|nt)\.mkdir"),
        (os.system, r"(posix|nt)\.system"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (subprocess.run, r"(subprocess|commands)\.run"),
        (np.load, r"numpy\.load"),
        (getattr, r"(builtins|__builtin__)\.getattr"),
    ],
)
def test_what_a_hostile_pickle_wants_to_import_is_named_and_not_run(
    tmp_path: Path, protocol: int, function: Any, name: str
) -> None:
    path, marker = tmp_path / "evil.pkl", tmp_path / "was_run"
    content = {"model": {"conv1_w": np.ones(2), "payload": Calls(function, str(marker))}}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match=rf"evil\.pkl: refused: it wants to import {name}\. "):
        load_pickle(path)
    assert not marker.exists()


def test_a_dotted_name_leads_nowhere(tmp_path: Path) -> None:
    # Protocol 4 may ask for an attribute of what is allowed: numpy.dtype's own module, say.
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.")
    with pytest.raises(ValueError, match=r"wants to import numpy\.dtype\.__new__"):
        load_pickle(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([None, {}], dtype=object), "without type or bytes"),
        (np.zeros(2, dtype=[("a", "f4")]), "which is no number"),
        (np.array(["2015-12-10"], dtype="M8[D]"), "which is no number"),
    ],
)
def test_arrays_of_other_things_than_numbers_are_refused(
    tmp_path: Path, array: Any, message: str
) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps({"a": array}))
    with pytest.raises(ValueError, match=rf"odd\.pkl: .*{message}"):
        load_pickle(path)


def test_an_array_with_too_few_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.pkl"
    whole = pickle.dumps({"a": np.arange(4, dtype=np.float32)}, protocol=2)
    # The shape says 4, (K\x04,); let it say 5.
    assert whole.count(b"K\x04\x85") == 1
    path.write_bytes(whole.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(ValueError, match=r"16 bytes for an array of \[5\] float32"):
        load_pickle(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02", b"\x80\x02}q\x01U\x04", b"(" * 99])
def test_a_file_that_is_no_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pkl: not a readable pickle"):
        load_pickle(path)


def test_a_persistent_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(b"\x80\x02U\x01aQ.")
    with pytest.raises(ValueError, match="a persistent object"):
        load_pickle(path)


class Own(dict[str, Any]):
    """A mapping of another package."""


def beside_weights() -> dict[str, Any]:
    return {
        "w": torch.arange(3.0),
        "args": argparse.Namespace(
            path=pathlib.PurePosixPath("x"), function=functools.partial(max)
        ),
        "settings": types.SimpleNamespace(a=1),
        "metric": np.float64(0.5),
        "day": np.datetime64("2020-01-01"),
        "objects": np.array([None]),
        "queue": collections.deque([1, 2]),
        "names": {"a", "b"},
        "counts": collections.Counter("aab"),
        "sparse": torch.eye(2).to_sparse(),
        "own": Own(w=torch.ones(2)),
    }


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_beside_the_tensors_are_skipped(tmp_path: Path, new: bool, protocol: int) -> None:
    path = tmp_path / "a.pth"
    torch.save(beside_weights(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    tree = read_content(path).tree
    assert torch.equal(tree["w"], torch.arange(3.0))
    assert isinstance(tree["args"], Skipped)
    assert tree["args"].kind == "argparse.Namespace"
    assert tree["metric"] == 0.5
    assert torch.equal(tree["own"].items["w"], torch.ones(2))
    kinds = [argparse.Namespace, types.SimpleNamespace, collections.deque, collections.Counter, Own]
    assert not any(isinstance(value, kind) for value in tree.values() for kind in kinds)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.mkdir, r"(posix|nt)\.mkdir"), (eval, "eval"), (torch.load, "torch.+load")],
)
def test_a_file_of_torch_that_wants_to_run_code_is_refused(
    tmp_path: Path, new: bool, function: Any, name: str
) -> None:
    marker = tmp_path / "was_run"
    content = {"w": torch.ones(1), "payload": Calls(function, str(marker))}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=rf"evil\.pth: refused: it wants to import \S*{name}"):
        read_content(tmp_path / "evil.pth")
    assert not marker.exists()


def test_a_pickle_cannot_change_what_it_may_call(tmp_path: Path) -> None:
    # BUILD gives an object a state; here numpy's scalar() should get other default arguments.
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x02cnumpy.core.multiarray\nscalar\nN}U\x0c__defaults__K\x01\x85s\x86b.")
    with pytest.raises(ValueError, match="attributes of a function"):
        load_pickle(path)


def test_a_few_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    # LONG_BINPUT numbers what it keeps: C's unpickler makes a table of 2 GB for this number.
    path = tmp_path / "bomb.pkl"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x0f.")
    tracemalloc.start()
    assert load_pickle(path) == {}
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()
