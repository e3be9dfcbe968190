"""The fields of the settings as keys: what the messages, the page and the help are made of."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen

from detection.cli.settings.kinds import (
    ASCENDING,
    MANY,
    NOT_REPEATED,
    AsTyped,
    OrInfinity,
    Words,
)
from detection.cli.settings.node import OTHERS, Node, OneOf


@dataclass(frozen=True)
class Kind:
    """What a key holds: a type with its ranges."""

    type: Any
    marks: tuple[Any, ...] = ()
    optional: bool = False

    @staticmethod
    def of(annotation: Any) -> Kind:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            inner = Kind.of(arguments[0])
            return Kind(inner.type, (*inner.marks, *_flat(arguments[1:])), inner.optional)
        if origin in (Union, types.UnionType):
            others = [argument for argument in arguments if argument is not type(None)]
            if len(others) > 1:  # of a constructor: a number, or several
                return Kind(Any, (), len(others) < len(arguments))
            inner = Kind.of(others[0])
            return Kind(inner.type, inner.marks, True)
        return Kind(annotation)

    def mark(self, cls: type) -> Any:
        """The last mark of a class; None if there is none."""
        return next((mark for mark in reversed(self.marks) if isinstance(mark, cls)), None)

    @property
    def nodes(self) -> tuple[type[Node], ...]:
        """The classes that a node may be of; none for a value."""
        one_of = self.mark(OneOf)
        if one_of is not None:
            return one_of.classes
        return (self.type,) if isinstance(self.type, type) and issubclass(self.type, Node) else ()

    @property
    def item(self) -> Kind | None:
        """Of a list, or of a mapping with free names."""
        arguments = get_args(self.type)
        origin = get_origin(self.type)
        return Kind.of(arguments[-1]) if origin in (list, dict) else None

    @property
    def is_text(self) -> bool:
        """Whether what is typed is taken as a text: its own, or its items'."""
        item = self.item
        return self.mark(AsTyped) is not None or (item is not None and item.is_text)

    def words(self) -> str:
        """In words: "a whole number from 1 to 64, or null"."""
        if self.nodes:
            names = ", ".join(node.__name__ for node in self.nodes)
            found = f"the settings of {names}, or of {OTHERS}"
        else:
            named = self.mark(Words)
            found = named.text if named is not None else self._by_type()
        optional = self.optional or getattr(self.mark(OneOf), "optional", False)
        return f"{found}, or null" if optional else found

    def _by_type(self) -> str:
        if get_origin(self.type) is Literal:
            *most, last = map(str, get_args(self.type))
            return f"{', '.join(most)} or {last}" if most else last
        if self.type is bool:
            return "true or false"
        if self.type is int:
            return f"a whole number {self._range()}"
        if self.type is float:
            return f"a number {self._range()}".rstrip()
        item = self.item
        if item is not None:
            return self._of_several(item)
        return "a text"

    def _range(self) -> str:
        low, above = self.mark(Ge), self.mark(Gt)
        high, below = self.mark(Le), self.mark(Lt)
        if above is not None:
            found = f"above {above.gt:g}"
            found += f", up to {high.le:g}" if high is not None else ""
        elif low is None:
            found = ""
        elif high is not None and high.le == MANY:
            found = f"of {low.ge} or more (at most 1e9)"
        elif high is not None:
            found = f"from {low.ge} to {high.le}"
        else:
            found = f"of {low.ge:g} or more"
        if below is not None:
            found += f", below {below.lt:g}" if above is not None else f", and below {below.lt:g}"
        return f"{found}, or inf (in YAML .inf)" if self.mark(OrInfinity) else found

    def _of_several(self, item: Kind) -> str:
        low, high = self.mark(MinLen), self.mark(MaxLen)
        least, most = getattr(low, "min_length", 0), getattr(high, "max_length", None)
        count = f" of {least}" if least == most else " of one or more" if least else ""
        if get_origin(self.type) is dict:
            return f"a table{count}, each {item.words()}"
        how = ", ascending" if ASCENDING in self.marks else ""
        how = ", without duplicates" if NOT_REPEATED in self.marks else how
        return f"a list [...]{count}{how}, each {item.words()}"


def _flat(marks: Sequence[Any]) -> Iterator[Any]:
    for mark in marks:
        if isinstance(mark, GroupedMetadata):
            yield from mark
        else:
            yield mark


@cache
def kinds_of(node: type[Node]) -> dict[str, Kind]:
    """Key -> kind, of the node's own keys."""
    hints = get_type_hints(node, include_extras=True)
    return {info.alias or name: Kind.of(hints[name]) for name, info in node.model_fields.items()}


def walk(
    node: type[Node], targets: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Kind]]:
    """All keys below a node, those of its parts too.

    ``targets``: key of a part -> its ``_target_``, where that is known; otherwise the keys of all
    classes that it may be of are there.
    """
    for name, kind in kinds_of(node).items():
        key = f"{prefix}{name}"
        yield key, kind
        one_of = kind.mark(OneOf)
        parts = kind.nodes if one_of is None else one_of.chosen(targets.get(key))
        if one_of is not None:
            yield f"{key}._target_", Kind(str, (Words(_classes(one_of)),))
        for part in parts:
            yield from walk(part, targets, f"{key}.")


def _classes(one_of: OneOf) -> str:
    return f"{', '.join(node.__name__ for node in one_of.classes)}, or {OTHERS}"


def kind_at(node: type[Node], place: Sequence[str | int]) -> Kind | None:
    """The kind of the key at pydantic's ``loc``, which names chosen classes among the keys."""
    kind: Kind | None = None
    parts: tuple[type[Node], ...] = (node,)
    for step in place:
        chosen = tuple(part for part in parts if getattr(part, "target", None) == step)
        if chosen:
            parts = chosen
            continue
        if kind is not None and kind.item is not None:
            kind = kind.item
        else:
            kind = next((kinds_of(p)[str(step)] for p in parts if step in kinds_of(p)), None)
        if kind is None:
            return None
        parts = kind.nodes
    return kind
