"""Why: an API server knows the fields of every kind: it prunes what it does not know and refuses wrong types.

The shapes of built-in kinds are read from the official client's models, which are generated from
Kubernetes' own OpenAPI document; those of custom kinds from their CustomResourceDefinition. What
the values mean is left to ``validation`` and to the webhooks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

_SCALARS: Final = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "string",
    "bytes": "string",
}
# Fields that take a string or a number, though the generated models say string.
_QUANTITIES: Final = frozenset({"limits", "requests", "capacity", "allocatable", "hard", "used"})


@dataclass(slots=True, eq=False)
class Shape:
    """What a value may look like: ``type`` is one of OpenAPI's, ``map`` or ``any``."""

    type: str
    fields: dict[str, Shape] = field(default_factory=dict)
    item: Shape | None = None
    required: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    model: str = ""

    def members(self) -> dict[str, Shape]:
        """The fields of an object; those of a model are looked up when first needed."""
        if self.model:
            self.fields = _fields(self.model)
            self.model = ""
        return self.fields


ANY: Final = Shape("any")
_TEXT: Final = Shape("string")
_LOOSE_MAP: Final = Shape("map", item=ANY)


@dataclass(slots=True)
class Findings:
    """What was wrong with a body, by path."""

    unknown: list[str] = field(default_factory=list)
    mistyped: list[tuple[str, str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unsupported: list[tuple[str, Any, tuple[str, ...]]] = field(default_factory=list)


@cache
def model_shape(model: str) -> Shape:
    """The shape of one of the official client's models."""
    return Shape("object", model=model)


@cache
def _fields(model: str) -> dict[str, Shape]:
    from kubernetes.client import models  # noqa: PLC0415 - loads 700 modules; a test of selectors needs none

    known = getattr(models, model)
    names = known.attribute_map
    return {
        names[attribute]: _LOOSE_MAP if names[attribute] in _QUANTITIES else _typed(declared)
        for attribute, declared in known.openapi_types.items()
    }


@cache
def _typed(declared: str) -> Shape:
    if declared in _SCALARS:
        return Shape(_SCALARS[declared])
    if declared == "object":
        return ANY
    if declared.startswith("List["):
        return Shape("array", item=_typed(declared[5:-1]))
    if declared.startswith("Dict["):
        return Shape("map", item=_typed(declared.removeprefix("Dict[str, ")[:-1]))
    return model_shape(declared)


def from_openapi(schema: dict[str, Any]) -> Shape:
    """The shape that a CustomResourceDefinition's ``openAPIV3Schema`` describes."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"):
        return ANY
    declared = schema.get("type", "any")
    if declared == "object" and "properties" not in schema:
        values = schema.get("additionalProperties")
        return Shape("map", item=from_openapi(values)) if isinstance(values, dict) else _LOOSE_MAP
    if declared == "object":
        return Shape(
            "object",
            fields={name: from_openapi(value) for name, value in schema["properties"].items()},
            required=tuple(schema.get("required", ())),
        )
    if declared == "array":
        return Shape("array", item=from_openapi(schema.get("items", {})))
    return Shape(declared, enum=tuple(schema.get("enum", ())))


def custom_object(spec: Shape | None, extra: dict[str, Shape]) -> Shape:
    """The shape of a whole custom object: the members that all have, and its own."""
    fields = {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": model_shape("V1ObjectMeta"),
        **extra,
    }
    if spec is not None:
        fields["spec"] = spec
    return Shape("object", fields=fields)


_CHECKS: Final = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "map": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def decode(shape: Shape, value: Any, path: str, found: Findings) -> Any:
    """``value`` without what ``shape`` does not know; what is wrong with it is put into ``found``."""
    kind = shape.type
    if kind == "any" or value is None:
        return value
    if not _CHECKS[kind](value):
        found.mistyped.append((path, "object" if kind == "map" else kind, value))
        return value
    if kind == "object":
        return _decode_object(shape, value, path, found)
    if shape.item is not None:
        item = shape.item
        if kind == "map":
            return {key: decode(item, inner, f"{path}.{key}", found) for key, inner in value.items()}
        return [decode(item, inner, f"{path}[{index}]", found) for index, inner in enumerate(value)]
    if shape.enum and value not in shape.enum:
        found.unsupported.append((path, value, shape.enum))
    return value


def _decode_object(shape: Shape, value: dict[str, Any], path: str, found: Findings) -> dict[str, Any]:
    members = shape.members()
    prefix = f"{path}." if path else ""
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        member = members.get(key)
        if member is None:
            found.unknown.append(prefix + key)
        elif inner is not None:
            kept[key] = decode(member, inner, prefix + key, found)
    found.missing.extend(prefix + name for name in shape.required if name not in kept)
    return kept
