"""What is done to an input: to its bytes, or to its values where it is text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

_NUMBERS = (
    b"0", b"-1", b"1e308", b"-1e999", b"NaN", b"9" * 30, b"9" * 5000, b"0.1", b"2147483648", b"true"
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "x", "\0", "\ud800", [], {},
    [[]], {"a": 1}, "/etc/hostname", "../../../../etc/hostname", "~/x", "a" * 5000,
)  # fmt: skip
_WORDS = (
    b"/etc/hostname", b"../../../../etc/hostname", b"\xff\xfe", b"\0", b"${oc.env:HOME}", b"{",
    b"[", b"]", b"'", b"!!python/object/apply:os.system [true]", b"_target_=os.system",
    b"&a [*a]", b"\n",
)  # fmt: skip
_EDGES = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x80")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four mutations, one after the other."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = _is_text(data)
        kinds = (_TEXT + _BYTES) if text else _BYTES
        if text and data[:1] in (b"{", b"[") and rng.random() < 0.6:
            kinds = (_json_value,)
        data = rng.choice(kinds)(data, rng)
    return data


def _is_text(data: bytes) -> bool:
    try:
        return bool(data.decode("utf-8")) and b"\0" not in data
    except UnicodeDecodeError:
        return False


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _ends(data: bytes, rng: random.Random) -> tuple[int, int]:
    return tuple(sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1))))  # type: ignore[return-value]


def _remove(data: bytes, rng: random.Random) -> bytes:
    first, last = _ends(data, rng)
    return data[:first] + data[last:]


def _double(data: bytes, rng: random.Random) -> bytes:
    first, last = _ends(data, rng)
    return data[:last] + data[first:last] * rng.choice((1, 1, 50)) + data[last:]


def _swap(data: bytes, rng: random.Random) -> bytes:
    first, last = _ends(data, rng)
    middle = rng.randint(first, last)
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


def _edge(data: bytes, rng: random.Random) -> bytes:
    at, value = rng.randrange(len(data) + 1), rng.choice(_EDGES)
    return data[:at] + value + data[at + len(value) :]


def _number(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return _flip(data, rng)
    chosen = rng.choice(found)
    return data[: chosen.start()] + rng.choice(_NUMBERS) + data[chosen.end() :]


def _word(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"[\w./]+", data))
    if not found:
        return _flip(data, rng)
    chosen = rng.choice(found)
    return data[: chosen.start()] + rng.choice(_WORDS) + data[chosen.end() :]


def _deep(data: bytes, rng: random.Random) -> bytes:
    times = rng.choice((100, 2000, 100_000))
    left, right = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<object>", b"</object>")))
    found = list(re.finditer(rb"[\w./]+", data)) or [re.match(b"", data)]
    chosen = rng.choice(found)
    assert chosen is not None
    inner = left * times + b"1" + right * times
    return data[: chosen.start()] + inner + data[chosen.end() :]


def _json_value(data: bytes, rng: random.Random) -> bytes:
    """Another value, or none, at one place of the tree."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, rng)
    places: list[tuple[Any, Any]] = []
    _places(tree, places)
    if not places:
        return _flip(data, rng)
    holder, key = rng.choice(places)
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(_VALUES)
    return json.dumps(tree).encode()


def _places(tree: Any, found: list[tuple[Any, Any]]) -> None:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree) if type(tree) is list else 0)
    for key in keys:
        found.append((tree, key))
        _places(tree[key], found)


_Kind = Callable[[bytes, random.Random], bytes]
_BYTES: tuple[_Kind, ...] = (_flip, _flip, _cut, _remove, _double, _swap, _edge)
_TEXT: tuple[_Kind, ...] = (_number, _number, _number, _word, _word, _word, _deep)
