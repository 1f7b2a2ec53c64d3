"""Why: a fault of a manifest is taken word for word, or refused with the words of whoever would refuse it.

Selector and duration are taken out of the spec: in an experiment they are the fault's target and the
stage's duration. What Chaos Mesh's definitions and its webhook refuse is what the models refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gameday.spec.base import parse_duration
from gameday.spec.faults import Fault
from gameday.spec.importing.places import Place
from gameday.spec.kinds import ONE_SHOT_ACTIONS, OUTSIDE_KINDS

_FAULT: Final[TypeAdapter[Any]] = TypeAdapter(Fault)

# As the guide's pod failures have it: what is over at once is watched for so long.
ONE_SHOT_LASTS: Final = timedelta(seconds=60)
ENDLESS_LASTS: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Found:
    """One fault of a manifest: ``selector`` is empty for kinds that have none, ``lasts`` if it has no end."""

    name: str
    kind: str
    selector: Mapping[str, Any]
    spec: Mapping[str, Any]
    lasts: timedelta | None
    namespace: str
    place: Place

    @property
    def one_shot(self) -> bool:
        """Whether it is over at once."""
        return self.spec.get("action") in ONE_SHOT_ACTIONS


def found(kind: str, name: str, namespace: str, spec: object, place: Place) -> Found | None:
    """The fault whose ``spec`` stands at ``place``; None where it is refused, which is then said."""
    if not isinstance(spec, Mapping):
        place.refuse(f"the spec of the {kind} is missing")
        return None
    before = len(place.remarks.refused)
    own = {key: value for key, value in spec.items() if key not in {"selector", "duration"}}
    if own.pop("remoteCluster", None):
        place.below("remoteCluster").refuse("it acts in another cluster, which nobody here watches")
    selector = spec.get("selector")
    if kind in OUTSIDE_KINDS:
        selector, target = {}, {}
    elif isinstance(selector, Mapping):
        target = {"target": _plain(selector)}
    else:
        place.refuse("the key 'selector' is missing")
        target = {"target": "missing"}
    _check({"kind": kind, **target, "spec": _plain(own)}, place)
    lasts = length(spec.get("duration"), place.below("duration"))
    if len(place.remarks.refused) > before:
        return None
    return Found(name, kind, _plain(selector), _plain(own), lasts, namespace, place)


def length(value: object, place: Place) -> timedelta | None:
    """A duration of a manifest; None where it has none, or a wrong one, which is then refused."""
    if value is None:
        return None
    try:
        read = parse_duration(value)
    except ValueError as error:
        place.refuse(str(error))
        return None
    if read <= timedelta(0):
        place.refuse("must be longer than 0s")
        return None
    return read


def _check(fault: Mapping[str, Any], place: Place) -> None:
    try:
        _FAULT.validate_python(fault)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place.mistake((_where(detail["loc"], fault["kind"]), detail["msg"].removeprefix("Value error, ")))


def _where(location: tuple[str | int, ...], kind: str) -> tuple[str | int, ...]:
    """Where a mistake of the fault stands in the manifest's spec."""
    inside = location[1:] if location[:1] == (kind,) else location
    match inside:
        case ("spec", *rest):
            return tuple(rest)
        case ("target", *rest):
            return ("selector", *rest)
        case _:
            return inside


def _plain(value: Any) -> Any:
    """``value`` without what its file knows of lines and comments."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    # Numbers and texts that remember how they were written.
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
