"""Checks a configuration: types, ranges, and the rules between values; all at once, by key."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Set
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from detection.cli.explain import nearest_keys
from detection.cli.settings.fields import Kind, kind_at, walk
from detection.cli.settings.node import Node
from detection.cli.settings.table import settings_of
from detection.cli.wrong_configuration import WrongConfiguration

log = logging.getLogger("configuration")


class _Missing:
    """Stands for a value that is not there: no kind takes it."""

    def __repr__(self) -> str:
        return "..."


MISSING = _Missing()
NOT_ASKED_FOR = "???"
UNRESOLVED = _Missing()


def check(
    config: str,
    composed: DictConfig,
    given: Set[str],
    *,
    is_needed: Callable[[str], str] | None = None,
) -> None:
    """Raises WrongConfiguration with a line for each wrong value, and makes 9e3 a whole number.

    ``given``: the keys of the command line.
    ``is_needed``: the message for a key without a value; without it such keys are not asked for.
    """
    node = settings_of(config)
    if node is None:
        return
    # Where it is not asked for, a missing value is a text like another.
    plain = _plain(composed, missing=NOT_ASKED_FOR if is_needed is None else MISSING)
    context = {"given": given, "complete": is_needed is not None}
    try:
        settings = node.model_validate(plain, context=context)
    except ValidationError as error:
        found = [*_problems(error, node, plain, is_needed or str)]
        # What is taken from a key that is wrong is not to be mended itself.
        own = [text for key, text in found if not _is_taken(composed, key)]
        if not found:
            return
        raise WrongConfiguration(own or [text for _, text in found]) from None
    for remark in _remarks(settings, given):
        log.warning("%s", remark)
    _write_whole_numbers(composed, plain, settings)


def _problems(
    error: ValidationError,
    node: type[Node],
    plain: dict[str, Any],
    is_needed: Callable[[str], str],
) -> Iterator[tuple[str, str]]:
    """Key, and what is wrong with it."""
    seen = set()
    for found in error.errors(include_url=False):
        place = found["loc"]
        # Of a list, the whole of it is shown.
        items = [number for number, step in enumerate(place) if isinstance(step, int)]
        place = place[: items[0]] if items else place
        kind, key = kind_at(node, place), _key(place)
        value = _value(plain, key)
        if found["type"] == "rules":
            for rule in found["ctx"]["rules"]:
                inner = f"{key}.{rule.key}" if key else rule.key
                yield inner, f"{inner}={show(_value(plain, inner))}: {rule.text}"
        elif key not in seen and value != NOT_ASKED_FOR:
            yield key, _problem(found["type"], key, value, kind, node, plain, is_needed)
        seen.add(key)


def _problem(
    error: str,
    key: str,
    value: Any,
    kind: Kind | None,
    node: type[Node],
    plain: dict[str, Any],
    is_needed: Callable[[str], str],
) -> str:
    if value is MISSING:
        return is_needed(key)
    if error == "extra_forbidden":
        return f"{key}={show(value)}: {_no_key(key, node, plain)}"
    if error == "missing":
        return f"{key}: is missing; {_must_be(kind)}"
    if error == "union_tag_not_found":
        return _no_class(key, value, kind)
    return f"{key}={show(value)}: {_must_be(kind)}{_hint(key, value, kind)}"


def _is_taken(composed: DictConfig, key: str) -> bool:
    """Whether a value is that of another key."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(composed, parent, throw_on_missing=False) if parent else composed
    return isinstance(node, DictConfig) and last in node and OmegaConf.is_interpolation(node, last)


def _key(place: tuple[Any, ...]) -> str:
    """pydantic's place without the classes and marks in it."""
    return ".".join(str(p) for p in place if not str(p).startswith("detection.") and p != "[key]")


def _value(plain: Any, key: str) -> Any:
    for name in key.split(".") if key else ():
        plain = plain.get(name) if isinstance(plain, dict) else None
    return plain


def _must_be(kind: Kind | None) -> str:
    return f"must be {kind.words()}" if kind is not None else "is wrong"


def _no_class(key: str, value: Any, kind: Kind | None) -> str:
    if isinstance(value, dict) and "_target_" in value:
        value, key = value["_target_"], f"{key}._target_"
    return f"{key}={show(value)}: {_must_be(kind)}"


def _no_key(key: str, node: type[Node], plain: dict[str, Any]) -> str:
    """The nearest key; of a class that is named, which ones it takes."""
    parent, _, last = key.rpartition(".")
    targets = {name: _value(plain, f"{name}._target_") for name, _ in walk(node, {})}
    beside = [
        k.rpartition(".")[2] for k, _ in walk(node, targets) if k.rpartition(".")[0] == parent
    ]
    takes = [name for name in beside if not name.startswith("_")]
    target = _value(plain, f"{parent}._target_") if parent else None
    near = difflib.get_close_matches(last, takes, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(takes)}"
    if isinstance(target, str):
        return f"{target.rpartition('.')[2]} has no such setting; {remedy}"
    if near:
        return f"there is no such key; {remedy}"
    known = [name for name, _ in walk(node, targets)]
    return f"there is no such key; the nearest are {', '.join(nearest_keys(key, known))}"


def _hint(key: str, value: Any, kind: Kind | None) -> str:
    """What to write, where that can be told from the value."""
    if kind is None:
        return ""
    item = kind.item
    if item is not None and not isinstance(value, (list, dict)) and _fits(value, item):
        return f": write {key}=[{show(value, quotes=False)}]"
    if isinstance(value, list) and len(value) == 1 and item is None and _fits(value[0], kind):
        return f": write {key}={show(value[0], quotes=False)}"
    plain = (str, int, float, bool, type(None))
    if isinstance(value, list) and item is not None and item.is_text and value:
        if not all(isinstance(v, plain) for v in value):
            return ""
        texts = ",".join(f'"{show(v, quotes=False)}"' for v in value)
        if not all(isinstance(v, str) for v in value):
            return f": write [{texts}]"
    if get_origin(kind.type) is Literal and isinstance(value, str):
        choices = [str(choice) for choice in get_args(kind.type)]
        near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        return f"; did you mean {near[0]}?" if near else ""
    return ""


def _fits(value: Any, kind: Kind) -> bool:
    marked = (kind.type, *kind.marks)
    annotation: Any = Annotated[marked] if kind.marks else kind.type
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def show(value: Any, *, quotes: bool = True) -> str:
    """As it is written on the command line; ``quotes``: a text in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(show(v, quotes=quotes) for v in value)}]"
    if isinstance(value, dict):
        return "{...}"
    return repr(value) if quotes or not isinstance(value, str) else value


def _remarks(node: Any, given: Set[str]) -> Iterator[str]:
    if isinstance(node, Node):
        yield from node.remarks(given)
        for name in type(node).model_fields:
            yield from _remarks(getattr(node, name), given)


def _write_whole_numbers(composed: DictConfig, plain: dict[str, Any], settings: Node) -> None:
    """9e3 is a float to YAML; where a whole number belongs it becomes one."""
    for name, info in type(settings).model_fields.items():
        key, value = info.alias or name, getattr(settings, name)
        before = plain.get(key)
        if isinstance(value, Node):
            inner = composed._get_node(key)
            if isinstance(inner, DictConfig) and isinstance(before, dict):
                _write_whole_numbers(inner, before, value)
        elif _made_whole(before, value) and not OmegaConf.is_interpolation(composed, key):
            composed[key] = value


def _made_whole(before: Any, value: Any) -> bool:
    if isinstance(before, list) and isinstance(value, list):
        return any(map(_made_whole, before, value))
    return isinstance(before, float) and isinstance(value, int)


def _plain(config: DictConfig, missing: Any) -> dict[str, Any]:
    """As plain containers."""
    found: dict[str, Any] = {}
    for key in config:
        try:
            value = config[key]
        except MissingMandatoryValue:
            value = missing
        except OmegaConfBaseException:  # it is to be taken from a key that is wrong itself
            value = UNRESOLVED
        if isinstance(value, DictConfig):
            value = _plain(value, missing)
        elif isinstance(value, ListConfig):
            value = OmegaConf.to_container(value, resolve=True)
        found[str(key)] = value
    return found
