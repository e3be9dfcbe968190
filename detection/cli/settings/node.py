"""What all settings have in common: a node of the configuration, its fields and its rules."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

OTHERS = "a class of your own"


@dataclass(frozen=True)
class Rule:
    """That a value does not fit another one.

    ``key``: within the node.  ``text``: follows ``key=value: ``.
    """

    key: str
    text: str


class Node(BaseModel):
    """A node of the configuration.  Every key is a field; there are no others."""

    model_config = ConfigDict(
        strict=True, extra="forbid", defer_build=True, allow_inf_nan=False, protected_namespaces=()
    )

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        """The rules between values that are broken; ``given``: the keys of the command line."""
        return iter(())

    def needs(self) -> Iterator[Rule]:
        """What a command cannot start without."""
        return iter(())

    def remarks(self, given: Set[str]) -> Iterator[str]:
        """What is not wrong, but worth a word."""
        return iter(())

    @model_validator(mode="after")
    def _holds(self, info: ValidationInfo) -> "Node":
        context = info.context or {}
        found = [*self.broken(context.get("given", frozenset()))]
        if context.get("complete"):
            found += self.needs()
        if found:
            raise PydanticCustomError("rules", "rules", {"rules": found})
        return self


class Built(Node):
    """The settings of a class of this package, which the configuration names as ``_target_``.

    ``by_code``: arguments that it gets from elsewhere.
    """

    target: ClassVar[str]
    by_code: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_target(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: v for k, v in values.items() if k not in ("_target_", "_partial_")}


@dataclass(frozen=True, init=False)
class OneOf:
    """A node that is built: of one of these classes, or of another one, most often of the user's.

    Those others take settings that are not known here: they are let through.
    """

    classes: tuple[type[Built], ...]
    optional: bool

    def __init__(self, *classes: type[Built], optional: bool = False) -> None:
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "optional", optional)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices = {node.target: handler.generate_schema(node) for node in self.classes}
        schema = core_schema.tagged_union_schema(
            {**choices, OTHERS: core_schema.any_schema()}, discriminator=self._choice
        )
        return core_schema.nullable_schema(schema) if self.optional else schema

    def chosen(self, target: Any) -> tuple[type[Built], ...]:
        """The one of ``target``; all where it is none of them."""
        return tuple(node for node in self.classes if node.target == target) or self.classes

    def _choice(self, value: Any) -> str | None:
        target = value.get("_target_") if isinstance(value, dict) else None
        if not isinstance(target, str):
            return None
        return target if any(node.target == target for node in self.classes) else OTHERS
