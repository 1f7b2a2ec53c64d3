"""Why: a Workflow says in a tree what happens when; an experiment says it in a row of stages.

Walks the tree as Chaos Mesh's controllers would, and notes for each fault when it begins and how long
it lasts. Stages are made of that elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from gameday.errors import DeclarationError
from gameday.spec.base import format_duration, nearest
from gameday.spec.importing.faults import ENDLESS_LASTS, ONE_SHOT_LASTS, Found, found, length
from gameday.spec.importing.places import Place
from gameday.spec.kinds import FAULT_KINDS, SCHEDULE, member

_NOTHING: Final = timedelta(0)
_MOST_STEPS: Final = 1000
_DEEPEST: Final = 40
_NOT_CARRIED_OUT: Final = {
    "Task": "a container is not run here; what it did or checked belongs into steadyState or mustShow",
    "StatusCheck": "what it asked belongs into steadyState",
}


@dataclass(frozen=True)
class Timed:
    """A fault, when it begins, and for how long it is in."""

    fault: Found
    starts: timedelta
    lasts: timedelta

    @property
    def ends(self) -> timedelta:
        """When it is over."""
        return self.starts + self.lasts


@dataclass(frozen=True)
class Span:
    """What a part of a manifest comes to: its faults, and when it is over."""

    faults: tuple[Timed, ...]
    ends: timedelta


def timed(fault: Found, starts: timedelta, lasts: timedelta | None = None) -> Timed:
    """``fault`` from ``starts`` on, for ``lasts`` or as long as it says; without an end it gets one."""
    lasts = lasts or fault.lasts
    if lasts is None and fault.one_shot:
        lasts = ONE_SHOT_LASTS
    elif lasts is None:
        lasts = ENDLESS_LASTS
        fault.place.changed(
            f"it had no end: here every fault ends, this one after {format_duration(ENDLESS_LASTS)}"
        )
    return Timed(fault, starts, lasts)


class _Steps:
    """Counts the steps of a Workflow: templates within templates can mean billions in a few lines."""

    def __init__(self) -> None:
        self._left = _MOST_STEPS

    def take(self, place: Place, above: Sequence[str]) -> None:
        self._left -= 1
        if self._left < 0 or len(above) > _DEEPEST:
            problem = place.document.problem(place.where, "the Workflow is too large, or nested too deep")
            raise DeclarationError(str(problem))


@dataclass(frozen=True)
class Workflow:
    """The templates of one Workflow. ``place`` is that of its spec."""

    templates: Mapping[str, tuple[int, Mapping[str, Any]]]
    namespace: str
    place: Place
    steps: _Steps = field(default_factory=_Steps)

    @classmethod
    def span(cls, spec: object, namespace: str, place: Place, starts: timedelta) -> Span:
        """All that happens in the Workflow whose ``spec`` stands at ``place``."""
        listed = spec.get("templates") if isinstance(spec, Mapping) else None
        if not isinstance(spec, Mapping) or not isinstance(listed, list) or not listed:
            place.refuse("a Workflow needs entry and templates")
            return Span((), starts)
        templates = {
            str(one.get("name", "")): (index, one)
            for index, one in enumerate(listed)
            if isinstance(one, Mapping)
        }
        whole = cls(templates, namespace, place)
        whole._used(str(spec.get("entry", "")))
        return whole._template(str(spec.get("entry", "")), place.below("entry"), starts, ())

    def _used(self, entry: str) -> None:
        """Say which templates nothing leads to."""
        reached: set[str] = set()
        waiting = [entry]
        while waiting:
            name = waiting.pop()
            if name in reached or name not in self.templates:
                continue
            reached.add(name)
            waiting += map(str, _list(self.templates[name][1], "children"))
        for name, (index, _) in self.templates.items():
            if name not in reached:
                self.place.below("templates", index).left_out(f"nothing leads to the template {name!r}")

    def _template(self, name: str, named_at: Place, starts: timedelta, above: tuple[str, ...]) -> Span:
        if name not in self.templates:
            named_at.refuse(f"there is no template {name!r}{nearest(name, self.templates)}")
            return Span((), starts)
        if name in above:
            named_at.refuse(f"the template {name!r} is part of itself")
            return Span((), starts)
        self.steps.take(named_at, above)
        index, template = self.templates[name]
        place = self.place.below("templates", index)
        deadline = length(template.get("deadline"), place.below("deadline"))
        within = self._within(template, place, starts, (*above, name), deadline)
        return within if deadline is None else _cut(within, starts + deadline, place)

    def _within(
        self,
        template: Mapping[str, Any],
        place: Place,
        starts: timedelta,
        above: tuple[str, ...],
        deadline: timedelta | None,
    ) -> Span:
        kind = str(template.get("templateType", ""))
        match kind:
            case "Serial" | "Parallel":
                return self._children(template, place, starts, above, serial=kind == "Serial")
            case "Suspend":
                if deadline is None:
                    place.changed("it waited for ever: nothing is waited for here")
                return Span((), starts + (deadline or _NOTHING))
            case "Task" | "StatusCheck":
                place.left_out(f"{kind}: {_NOT_CARRIED_OUT[kind]}")
                for branch in _list(template, "conditionalBranches"):
                    target = branch.get("target") if isinstance(branch, Mapping) else None
                    place.below("conditionalBranches").left_out(f"what followed on a condition: {target}")
                return Span((), starts)
            case "Schedule":
                place.changed("a Schedule within a Workflow happens once here")
                inner = template.get("schedule")
                return of_schedule(
                    inner, str(template["name"]), self.namespace, place.below("schedule"), starts
                )
            case _ if kind in FAULT_KINDS:
                return self._fault(kind, template, place, starts, deadline)
            case _:
                known = (*FAULT_KINDS, "Serial", "Parallel", "Suspend", "Task", "StatusCheck", SCHEDULE)
                place.below("templateType").refuse(f"unknown templateType {kind!r}{nearest(kind, known)}")
                return Span((), starts)

    def _children(
        self,
        template: Mapping[str, Any],
        place: Place,
        starts: timedelta,
        above: tuple[str, ...],
        *,
        serial: bool,
    ) -> Span:
        faults: list[Timed] = []
        ends = at = starts
        for index, child in enumerate(_list(template, "children")):
            span = self._template(str(child), place.below("children", index), at, above)
            faults += span.faults
            ends = max(ends, span.ends)
            at = span.ends if serial else starts
        return Span(tuple(faults), ends)

    def _fault(
        self,
        kind: str,
        template: Mapping[str, Any],
        place: Place,
        starts: timedelta,
        deadline: timedelta | None,
    ) -> Span:
        inside = place.below(member(kind))
        spec = template.get(member(kind))
        if isinstance(spec, Mapping) and spec.get("duration") is not None:
            inside.below("duration").refuse("a fault in a Workflow takes the template's deadline instead")
            return Span((), starts)
        fault = found(kind, str(template.get("name", "")), self.namespace, spec, inside)
        if fault is None:
            return Span((), starts)
        one = timed(fault, starts, deadline)
        return Span((one,), one.ends)


def of_schedule(spec: object, name: str, namespace: str, place: Place, starts: timedelta) -> Span:
    """What a Schedule brings forth each time; ``place`` is that of its spec."""
    if not isinstance(spec, Mapping):
        place.refuse("the spec of the Schedule is missing")
        return Span((), starts)
    kind = str(spec.get("type", ""))
    if kind == "Workflow":
        return Workflow.span(spec.get("workflow"), namespace, place.below("workflow"), starts)
    if kind not in FAULT_KINDS:
        place.below("type").refuse(f"unknown type {kind!r}{nearest(kind, (*FAULT_KINDS, 'Workflow'))}")
        return Span((), starts)
    fault = found(kind, name, namespace, spec.get(member(kind)), place.below(member(kind)))
    if fault is None:
        return Span((), starts)
    one = timed(fault, starts)
    return Span((one,), one.ends)


def _list(template: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = template.get(key)
    return value if isinstance(value, list) else ()


def _cut(span: Span, at: timedelta, place: Place) -> Span:
    """End everything by a deadline, as Chaos Mesh would."""
    return Span(tuple(_cut_short(span.faults, at, place)), min(span.ends, at))


def _cut_short(faults: tuple[Timed, ...], at: timedelta, place: Place) -> Iterator[Timed]:
    for one in faults:
        if one.starts >= at:
            place.below("deadline").left_out(f"{one.fault.name}: the deadline comes before it begins")
        elif one.ends > at:
            yield replace(one, lasts=at - one.starts)
        else:
            yield one
