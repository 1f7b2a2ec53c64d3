"""Why: teams try again what they know; what they never tried is what breaks at night.

Ranks what could be tried next by a sum of named parts, each with its reason, so that everybody can argue
with it. The same journal always gives the same list. It proposes; people decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, count
from typing import Annotated, Final

from pydantic import Field

from gameday.analysis.coverage import Coverage, Kind, Met, coverage
from gameday.analysis.improvements import Improvement, improvements
from gameday.analysis.model import ScorePart
from gameday.journal.actions import ActionItem
from gameday.journal.history import RunRow
from gameday.spec.base import LONGEST_NAME, Model
from gameday.spec.experiment import Experiment, Frequency
from gameday.spec.mild import SORTS
from gameday.spec.platform import Platform

NEVER, AGE, NEEDED, USUAL, WEAK, UNPROVED, KNOWN, DUE, READY = (
    30.0,
    20.0,
    20.0,
    10.0,
    15.0,
    25.0,
    -20.0,
    10.0,
    5.0,
)
"""The most points of each part, in the order of docs/reference/metrics-of-reviews.md."""

_OLD: Final = timedelta(days=180)
_EACH_WEAKNESS: Final = 5.0
_BY_USERS: Final = 12.0
_HOW_USUAL: Final[Mapping[Kind, tuple[float, str]]] = {
    Kind("PodChaos", "pod-kill"): (10.0, "pods die with every drained node, update and crash"),
    Kind("NetworkChaos", "delay"): (10.0, "networks and neighbours get slow every day"),
    Kind("StressChaos"): (8.0, "neighbours and leaks take CPU and memory"),
    Kind("NetworkChaos", "loss"): (7.0, "packets are lost wherever a link is full"),
    Kind("PodChaos", "pod-failure"): (6.0, "pods hang, or lose their node for minutes"),
    Kind("NetworkChaos", "partition"): (6.0, "a network policy or a switch cuts services off"),
    Kind("IOChaos", "latency"): (6.0, "disks get slow under load"),
    Kind("IOChaos", "fault"): (6.0, "disks fill up"),
    Kind("DNSChaos", "error"): (5.0, "names stop resolving when the cluster's DNS is busy"),
}
_RARELY: Final = (3.0, "it happens, if less often")
_BY_HAND: Final = (
    "gameday new writes no {}: copy an experiment of yours, and put its spec in as Chaos Mesh has it"
)
_DAYS: Final[Mapping[Frequency, int]] = {"weekly": 7, "every-second-week": 14, "monthly": 31, "quarterly": 92}


class Suggestion(Model):
    """A fault to try at a service: ``points`` are the sum of ``parts``. ``also``: what comes with it."""

    service: str
    kind: str
    action: str = ""
    points: float
    parts: tuple[ScorePart, ...]
    experiment: Annotated[str, Field(description="of the catalogue; empty: none does it yet")] = ""
    command: Annotated[
        str, Field(description="runs the experiment, or writes one with this fault; empty: no command can")
    ]
    by_hand: Annotated[str, Field(description="what to do where no command does it")] = ""
    also: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What to try, in words."""
        return f"{Kind(self.kind, self.action)} at {self.service}"


@dataclass(frozen=True)
class Known:
    """Everything that suggestions are made from. ``environment`` "": all of them together."""

    platform: Platform
    experiments: Sequence[Experiment]
    rows: Sequence[RunRow]
    items: Sequence[ActionItem]
    now: datetime
    environment: str = ""
    sandbox: bool = False

    @cached_property
    def usable(self) -> tuple[Experiment, ...]:
        """The experiments of the catalogue that are for the environment."""
        return tuple(
            one for one in self.experiments if not self.environment or self.environment in one.environments
        )

    @cached_property
    def coverage(self) -> Coverage:
        """What met what."""
        return coverage(self.rows, self.platform, self.usable)

    @cached_property
    def unproved(self) -> tuple[Improvement, ...]:
        """What is closed, and whose experiment has not run since."""
        return tuple(one for one in improvements(self.items, self.rows, self.items) if one.proof == "not-run")

    @cached_property
    def last_run(self) -> Mapping[str, datetime]:
        """When each experiment ran last."""
        found: dict[str, datetime] = {}
        for row in self.rows:
            found[row.experiment] = max(found.get(row.experiment, row.started_at), row.started_at)
        return found


def suggest(known: Known, limit: int | None = None) -> tuple[Suggestion, ...]:
    """What to try next, the best first, each experiment once."""
    ranked = sorted(
        ((cell, tuple(_parts(known, cell))) for cell in known.coverage.cells),
        key=lambda one: (-sum(part.points for part in one[1]), one[0].service, one[0].fault),
    )
    found: dict[str, tuple[Met, tuple[ScorePart, ...], list[str]]] = {}
    there = {service.name for service in known.platform.services}
    for cell, parts in ranked:
        if cell.service not in there:
            continue
        experiment = cell.experiments[0] if cell.experiments else ""
        name = experiment or f"{cell.service} {cell.fault}"
        if name in found:
            found[name][2].append(f"{cell.fault} at {cell.service}")
        else:
            found[name] = (cell, parts, [])
    all_of_them = [_suggestion(known, *one) for one in found.values()]
    return tuple(all_of_them[:limit])


def _suggestion(known: Known, cell: Met, parts: Sequence[ScorePart], also: Sequence[str]) -> Suggestion:
    experiment = cell.experiments[0] if cell.experiments else ""
    return Suggestion.model_validate(
        {
            "service": cell.service,
            "kind": cell.kind,
            "action": cell.action,
            "points": round(sum(part.points for part in parts), 1),
            "parts": parts,
            "experiment": experiment,
            "command": _command(known, cell, experiment),
            "byHand": "" if experiment or cell.fault in SORTS else _BY_HAND.format(cell.fault),
            "also": also,
        }
    )


def _command(known: Known, cell: Met, experiment: str) -> str:
    if experiment:
        declared = next(one for one in known.usable if one.name == experiment)
        return f"gameday run {experiment} --env {known.environment or declared.environments[0]}"
    if cell.fault not in SORTS:
        return ""
    action = f" --action {cell.action}" if cell.action else ""
    return f"gameday new {_name(known, cell)} --target {cell.service} --kind {cell.kind}{action}"


def _name(known: Known, cell: Met) -> str:
    """What an experiment with this fault could be called: no other is, and its end tells the fault."""
    taken = {one.name for one in known.experiments}
    sort = cell.action or cell.kind.removesuffix("Chaos").lower()
    ends = chain([f"-{sort}"], (f"-{sort}-{number}" for number in count(2)))
    names = (cell.service[: LONGEST_NAME - len(end)].rstrip("-") + end for end in ends)
    return next(name for name in names if name not in taken)


def _parts(known: Known, cell: Met) -> Iterator[ScorePart]:
    yield _tried(known, cell)
    yield from _needed(known.platform, cell.service)
    points, why = _HOW_USUAL.get(cell.fault, _RARELY)
    yield _part("likely", points, USUAL, why)
    yield from _weak(known.items, cell.service)
    yield from _to_prove(known.unproved, cell)
    yield from _still_broken(known.items, cell)
    yield from _due(known, cell)
    if cell.experiments:
        yield _part("ready", READY, READY, f"{cell.experiments[0]} of the catalogue does it")


def _part(what: str, points: float, most: float, why: str) -> ScorePart:
    return ScorePart.model_validate({"what": what, "points": round(points, 1), "of": most, "why": why})


def _tried(known: Known, cell: Met) -> ScorePart:
    if cell.last is None:
        return _part("never tried", NEVER, NEVER, f"{cell.service} has never met {cell.fault}")
    age = max(known.now - cell.last, timedelta(0))
    times = f"{cell.runs} run{'s' * (cell.runs != 1)}"
    ago = {0: "today", 1: "yesterday"}.get(age.days, f"{age.days} days ago")
    why = f"last met {ago}, in {times}; the last ended as {cell.last_verdict}"
    return _part("age", AGE * min(age / _OLD, 1.0), AGE, why)


def _needed(platform: Platform, service: str) -> Iterator[ScorePart]:
    callers = platform.dependents(service)
    others = len(platform.services) - 1
    if not callers:
        yield _part("needed", _BY_USERS, NEEDED, "users come in here: no other service calls it")
    elif others:
        why = f"{len(callers)} of {others} other services need it: {', '.join(callers)}"
        yield _part("needed", NEEDED * len(callers) / others, NEEDED, why)


def _weak(items: Iterable[ActionItem], service: str) -> Iterator[ScorePart]:
    keys = sorted({item.key for item in items if item.service == service})
    if keys:
        words = "weakness was" if len(keys) == 1 else "weaknesses were"
        points = min(_EACH_WEAKNESS * len(keys), WEAK)
        yield _part("weak before", points, WEAK, f"{len(keys)} {words} found at {service} so far")


def _to_prove(unproved: Iterable[Improvement], cell: Met) -> Iterator[ScorePart]:
    """What is said to be mended here by whoever found it with this."""
    found = [
        one for one in unproved if one.experiment in cell.experiments and one.service in {"", cell.service}
    ]
    if found:
        numbers = ", ".join(str(one.item) for one in found)
        why = f"closed and never proved: action item{'s' * (len(found) != 1)} {numbers}"
        yield _part("to be proved", UNPROVED, UNPROVED, why)


def _still_broken(items: Iterable[ActionItem], cell: Met) -> Iterator[ScorePart]:
    found = [
        one
        for one in items
        if one.open and one.experiment in cell.experiments and one.service in {"", cell.service} and cell.runs
    ]
    if found:
        numbers = ", ".join(str(one.item) for one in found)
        why = f"it would find again what is open: action item{'s' * (len(found) != 1)} {numbers}"
        yield _part("known", KNOWN, 0.0, why)


def _due(known: Known, cell: Met) -> Iterator[ScorePart]:
    for experiment in known.usable:
        days = _DAYS.get(experiment.frequency, math.inf)
        last = known.last_run.get(experiment.name)
        if (
            experiment.name in cell.experiments[:1]
            and last
            and known.now - last > timedelta(days=min(days, 99_999))
        ):
            yield _part(
                "due", DUE, DUE, f"{experiment.name} should run {experiment.frequency.replace('-', ' ')}"
            )
