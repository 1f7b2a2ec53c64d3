"""Why: label and field selectors decide what a list, a watch, a delete-collection and a fault touch.

They are parsed by the rules of the API server, a syntax error included, and become predicates over
objects. Which fields can be selected on is a table, as it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sandbox.kubernetes.errors import ApiError, Obj, bad_request
from sandbox.kubernetes.validation import label_key_faults, label_value_faults

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]
Test = Callable[[Obj], bool]

_TOKEN: Final = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")


def _unparsable(text: str, why: str) -> ApiError:
    return bad_request(f"unable to parse requirement: {why}" if why else f"invalid selector: {text!r}")


class _Parser:
    """Reads one label selector from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise _unparsable(text, f"found '{text[position]}', expected: identifier")
            self._tokens.append(match.group(1))
            position = match.end()
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token

    def requirements(self) -> list[Predicate]:
        found: list[Predicate] = []
        while self.peek():
            found.append(self._requirement())
            if self.peek() == ",":
                self.take()
                if not self.peek():
                    raise _unparsable(self._text, "found '', expected: identifier after ','")
            elif self.peek():
                raise _unparsable(self._text, f"found '{self.peek()}', expected: ',' or 'end of string'")
        return found

    def _requirement(self) -> Predicate:
        absent = self.peek() == "!"
        if absent:
            self.take()
        key = self._key(self.take())
        if absent:
            return lambda labels: key not in labels
        operator = self.peek()
        if operator in ("", ","):
            return lambda labels: key in labels
        self.take()
        return self._compared(key, operator)

    def _compared(self, key: str, operator: str) -> Predicate:
        if operator in ("in", "notin"):
            return requirement(key, "In" if operator == "in" else "NotIn", self._values())
        if operator in ("=", "==", "!="):
            value = "" if self.peek() in ("", ",") else self.take()
            return requirement(key, "NotIn" if operator == "!=" else "In", (self._value(value),))
        if operator in (">", "<"):
            return requirement(key, "Gt" if operator == ">" else "Lt", (self.take(),))
        raise _unparsable(self._text, f"found '{operator}', expected: in, notin, =, ==, !=, >, <")

    def _values(self) -> tuple[str, ...]:
        if self.take() != "(":
            raise _unparsable(self._text, "found '', expected: '('")
        values: list[str] = []
        while (word := self.take()) != ")":
            if not word:
                raise _unparsable(self._text, "found '', expected: ',', or ')'")
            if word != ",":
                values.append(self._value(word))
        if not values:
            raise _unparsable(self._text, "for 'in', 'notin' operators, values set can't be empty")
        return tuple(values)

    def _key(self, key: str) -> str:
        if key in ("", ",", "=", "==", "!=", "(", ")"):
            raise _unparsable(self._text, f"found '{key}', expected: !, identifier, or 'end of string'")
        if faults := label_key_faults(key):
            raise _unparsable(self._text, f'key: Invalid value: "{key}": {faults[0]}')
        return key

    def _value(self, value: str) -> str:
        if faults := label_value_faults(value):
            raise _unparsable(self._text, f'values[0]: Invalid value: "{value}": {faults[0]}')
        return value


def requirement(key: str, operator: str, values: Sequence[str]) -> Predicate:
    """One requirement of a label selector, with the operator's name as in ``matchExpressions``."""
    wanted = frozenset(values)
    match operator:
        case "In":
            return lambda labels: labels.get(key) in wanted
        case "NotIn":
            return lambda labels: labels.get(key) not in wanted
        case "Exists":
            return lambda labels: key in labels
        case "DoesNotExist":
            return lambda labels: key not in labels
        case "Gt" | "Lt":
            bound = int(values[0]) if values and values[0].lstrip("-").isdigit() else None
            if bound is None:
                raise bad_request("for 'Gt', 'Lt' operators, the value must be an integer")
            sign = 1 if operator == "Gt" else -1
            return lambda labels: _is_beyond(labels.get(key), bound, sign)
    raise bad_request(f'"{operator}" is not a valid label selector operator')


def _is_beyond(value: str | None, bound: int, sign: int) -> bool:
    return value is not None and value.lstrip("-").isdigit() and sign * (int(value) - bound) > 0


@lru_cache(maxsize=1024)
def label_selector(text: str) -> Predicate:
    """The predicate over labels that ``text`` describes. Raises a 400 where it cannot be parsed."""
    requirements = tuple(_Parser(text).requirements())
    if len(requirements) == 1:
        return requirements[0]
    return lambda labels: all(test(labels) for test in requirements)


def from_object(selector: Obj | None) -> Predicate:
    """The predicate of a LabelSelector object (``matchLabels``, ``matchExpressions``)."""
    declared = selector or {}
    tests = [requirement(key, "In", (value,)) for key, value in (declared.get("matchLabels") or {}).items()]
    tests += [
        requirement(entry["key"], entry["operator"], entry.get("values") or ())
        for entry in declared.get("matchExpressions") or ()
    ]
    return lambda labels: all(test(labels) for test in tests)


# Which fields can be selected on besides name and namespace: the API server's own list.
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "replicasets": ("status.replicas",),
}


def _field_value(obj: Obj, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path == "source" and isinstance(value, dict):
        value = value.get("component")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def field_selector(text: str, plural: str, *, custom: bool) -> Test:
    """The predicate over objects that ``text`` describes. Raises a 400 where a field is not offered."""
    known = ("metadata.name", "metadata.namespace", *(() if custom else _FIELDS.get(plural, ())))
    tests: list[tuple[str, str, bool]] = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
        tests.append((path, value, operator != "!="))
    return lambda obj: all((_field_value(obj, path) == value) is wanted for path, value, wanted in tests)
