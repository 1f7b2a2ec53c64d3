"""Why: which keys a file of the catalogue takes is said by the models that read it, completely.

The hand-written pages say what the keys are for; the tables made here leave none out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from docs._ext.markdown import cell, code, plain, table
from gameday.spec.base import Model, format_duration
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Platform
from gameday.spec.suite import Suite

Schema = Mapping[str, Any]

# As pydantic writes a default that is a duration; the files have 5m.
_ISO_DURATION: Final = re.compile(r"P(T|\d)")
_TIMEDELTA: Final = TypeAdapter(timedelta)


def of_an_experiment() -> str:
    """Every key of an experiment file."""
    return _of(Experiment)


def of_a_suite() -> str:
    """Every key of a suite file."""
    return _of(Suite)


def of_the_guardrails() -> str:
    """Every key of ``guardrails.yaml``."""
    return _of(Guardrails)


def of_the_platform() -> str:
    """Every key of ``platform.yaml``."""
    return _of(Platform)


def _of(model: type[Model]) -> str:
    schema, file = model.model_json_schema(), model.__name__.lower()
    parts = [_rows(schema, file)]
    # In the order in which a reader meets them, from the top of the file down.
    for name in _met(schema, schema.get("$defs", {})):
        below = schema["$defs"][name]
        parts.append(f"({_anchor(name, file)})=\n### {name}\n")
        parts.append(plain(below.get("description", "")) + "\n")
        parts.append(_rows(below, file))
    return "\n".join(parts)


def _met(schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    found: list[str] = []
    waiting = [schema]
    while waiting:
        here = waiting.pop(0)
        for name in _named(here.get("properties", {})):
            if name not in found:
                found.append(name)
                waiting.append(definitions[name])
    return found


def _named(node: object) -> list[str]:
    if isinstance(node, Mapping):
        own = [str(node["$ref"]).rsplit("/", 1)[-1]] if "$ref" in node else []
        return own + [name for key, below in node.items() if key != "mapping" for name in _named(below)]
    return [name for below in node for name in _named(below)] if isinstance(node, list) else []


def _rows(schema: Schema, file: str) -> str:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if not properties:
        return "Any keys; the API server judges them.\n"
    required = set(schema.get("required", ()))
    rows = [
        (code(key), _kind(about, file), _default(about, key in required), cell(plain(_description(about))))
        for key, about in properties.items()
    ]
    return table(("Key", "Value", "Default", "What"), rows)


def _description(about: Schema) -> str:
    if "description" in about:
        return str(about["description"])
    return next((str(one["description"]) for one in about.get("anyOf", ()) if "description" in one), "")


def _default(about: Schema, required: bool) -> str:
    if required:
        return "must be given"
    value = about.get("default")
    if value is None or value in ([], {}, ""):
        return "none"
    if isinstance(value, dict):
        return "its own defaults"
    if isinstance(value, str) and _ISO_DURATION.match(value):
        return code(format_duration(_TIMEDELTA.validate_python(value)))
    return code(value if isinstance(value, str) else json.dumps(value))


def _kind(about: Schema, file: str) -> str:
    if "$ref" in about:
        name = str(about["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{_anchor(name, file)})"
    if choices := about.get("anyOf") or about.get("oneOf"):
        kinds = [_kind(one, file) for one in choices if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in about:
        return ", ".join(code(str(one)) for one in about["enum"])
    if "const" in about:
        return code(str(about["const"]))
    if about.get("type") == "array":
        return f"list of: {_kind(about.get('items', {}), file)}"
    return _simple(about)


def _simple(about: Schema) -> str:
    kind = str(about.get("type", "anything"))
    if kind in {"integer", "number"}:
        least = _bound(about, "minimum", "exclusiveMinimum", "above")
        most = _bound(about, "maximum", "exclusiveMaximum", "below")
        limits = " ".join(filter(None, (least and f"from {least}", most and f"to {most}")))
        return f"{'whole number' if kind == 'integer' else 'number'} {limits}".strip()
    if kind == "object":
        return "keys and values"
    if examples := about.get("examples"):
        return "such as " + ", ".join(code(str(one)) for one in examples)
    return {"string": "text", "boolean": "`true` or `false`"}.get(kind, kind)


def _bound(about: Schema, inclusive: str, exclusive: str, word: str) -> str:
    if inclusive in about:
        return str(about[inclusive])
    return f"{word} {about[exclusive]}" if exclusive in about else ""


def _anchor(name: str, file: str) -> str:
    return f"{file}-{name.lower()}"
