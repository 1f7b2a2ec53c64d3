"""Why: whom a fault hits, and how many, is said the same way for every kind.

The field names and the rules are those of Chaos Mesh's selectors and modes, and of its admission
webhook (Chaos Mesh 2.8). Which pods that are now is the plan's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from gameday.spec.base import Mistake, Model, Name

Mode = Literal["one", "all", "fixed", "fixed-percent", "random-max-percent"]


def must_be_text(value: object) -> object:
    """Refuse a number where Chaos Mesh wants text. Raises ``ValueError`` with the quoted form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'Chaos Mesh wants text here: write it in quotes, "{value}"')  # noqa: TRY004 - pydantic collects ValueError only
    return value


Text = Annotated[str, BeforeValidator(must_be_text)]


class ExpressionSelector(Model):
    """One set-based requirement on labels."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(Model):
    """Chaos Mesh's pod selector. Where ``pods`` is set, Chaos Mesh ignores every other field."""

    namespaces: tuple[str, ...] = ()
    field_selectors: dict[str, Text] = Field(default_factory=dict)
    label_selectors: dict[str, Text] = Field(default_factory=dict)
    expression_selectors: tuple[ExpressionSelector, ...] = ()
    annotation_selectors: dict[str, Text] = Field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    node_selectors: dict[str, Text] = Field(default_factory=dict)
    pods: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    pod_phase_selectors: tuple[str, ...] = ()

    def mistakes(self) -> Iterator[Mistake]:
        """It must narrow something down."""
        narrowing = self.model_dump(exclude={"namespaces", "pod_phase_selectors"}, exclude_defaults=True)
        if not any(narrowing.values()):
            yield (), "selects every pod; name labels, pods or nodes"


Target = Annotated[
    Annotated[Name, Tag("service")] | Annotated[Selector, Tag("selector")],
    Discriminator(lambda value: "service" if isinstance(value, str) else "selector"),
    Field(description="a service of platform.yaml, or a Chaos Mesh selector"),
]


class ModeSpec(Model):
    """How many of the selected pods are hit."""

    mode: Mode
    value: Text | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """The value must fit the mode; Chaos Mesh's webhook reads it as a whole number."""
        if self.mode in {"one", "all"}:
            if self.value is not None:
                yield ("value",), f"mode {self.mode} takes no value"
        elif not re.fullmatch(r"[+-]?[0-9]{1,9}", self.value or ""):
            yield ("value",), f'mode {self.mode} needs a whole number as value, such as "30"'
        elif self.mode == "fixed" and int(self.value or "") <= 0:
            yield ("value",), "mode fixed needs a whole number above 0 as value"
        elif self.mode != "fixed" and not 0 < int(self.value or "") <= 100:
            yield ("value",), f"mode {self.mode} needs a percentage above 0 and up to 100 as value"


class ChaosSpec(ModeSpec):
    """What the specs of all pod faults share."""

    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "selector": "does not stand in spec; write it as the fault's target",
            "duration": "does not stand in spec; the stage's duration counts",
        }
    )

    remote_cluster: str | None = None
