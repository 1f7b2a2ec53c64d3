"""Why: "held up to 400ms, broke at 800ms" convinces nobody who cannot see how near each step came.

Puts the steps of a gradual stage beside the worst that each signal did in them, from the record alone.
How that is drawn is ``strength_chart``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from gameday.journal.extremes import Extreme
from gameday.journal.store import Event
from gameday.monitor.judge import State
from gameday.monitor.watch import Watch
from gameday.plan.model import Plan
from gameday.run.gradual import KIND, Outcome, Result, Tried, of_steps
from gameday.run.kept import worse_of
from gameday.run.recovery import STAGE as RECOVERY
from gameday.spec.base import Comparison

_DECIDES: Final = frozenset({State.OVER, State.BROKEN})


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst value of a signal in one step, and the service that it was at ("": the platform)."""

    value: float
    service: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A signal to be drawn over the strengths: its worst in each step, None where it had no value."""

    watch: Watch
    worst: tuple[Worst | None, ...]
    limits: Mapping[str, Comparison]


@dataclass(frozen=True, slots=True)
class Strengths:
    """What a gradual stage showed, step by step; ``worst`` has a row for each step, by signal."""

    result: Result
    watches: tuple[Watch, ...]
    worst: tuple[Mapping[str, Worst], ...]
    decided: tuple[str, ...]
    by_recovery: bool = False

    @property
    def rows(self) -> list[tuple[Tried, Mapping[str, Worst]]]:
        """Each step with the worst of each signal in it."""
        return list(zip(self.result.steps, self.worst, strict=True))

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        """The signals that decided; where none broke, those of the steady state."""
        return tuple(
            Drawn(watch, tuple(row.get(watch.name) for row in self.worst), self._limits(watch))
            for watch in self.watches
            if (watch.name in self.decided if self.decided else watch.tolerate is not None)
        )

    def _limits(self, watch: Watch) -> Mapping[str, Comparison]:
        expect = watch.expect if self.by_recovery else None
        named = (("expect", expect), ("tolerate", watch.tolerate), ("abort when", watch.abort_when))
        return {word: limit for word, limit in named if limit is not None}


def strengths(plan: Plan, events: Sequence[Event], seen: Sequence[Extreme]) -> Strengths | None:
    """What the record tells of the steps of ``plan``; None where it has none, or none was tried."""
    found = _told(events) or _cut_off(plan, events, seen)
    if found is None:
        return None
    names = [one.stage for one in found.steps]
    tried = [name for name, one in zip(names, found.steps, strict=True) if one.outcome != Outcome.NOT_TRIED]
    broke = any(one.outcome == Outcome.BROKE for one in found.steps)
    decided = _out_of_limits(seen, _stages(names, tried[-1])) if broke else frozenset()
    by_recovery = broke and not decided
    if by_recovery:
        decided = _not_back(seen)
    worst = []
    for name in names:
        own = _stages(names, name)
        if by_recovery and name == tried[-1]:
            own |= {RECOVERY}
        rows = [one for one in seen if one.stage in own]
        each = {watch.name: _worst(watch, rows) for watch in plan.watches}
        worst.append({signal: one for signal, one in each.items() if one is not None})
    known = {signal for row in worst for signal in row}
    return Strengths(
        result=found,
        watches=tuple(watch for watch in plan.watches if watch.name in known),
        worst=tuple(worst),
        decided=tuple(watch.name for watch in plan.watches if watch.name in decided & known),
        by_recovery=by_recovery,
    )


def _told(events: Sequence[Event]) -> Result | None:
    """The result as the run wrote it down; None where it did not, or it cannot be read any more."""
    results = [event.data["result"] for event in events if event.kind == KIND and "result" in event.data]
    try:
        return Result.model_validate(results[-1]) if results else None
    except ValidationError:
        return None


def _cut_off(plan: Plan, events: Sequence[Event], seen: Sequence[Extreme]) -> Result | None:
    """What is known of the steps of a run that did not come to its result."""
    steps = [(stage.name, stage.step) for stage in plan.stages if stage.step is not None]
    held = {event.data.get("stage") for event in events if event.kind == KIND}
    begun = {one.stage for one in seen}
    if not steps or not any(name in held | begun for name, _ in steps):
        return None
    outcomes = [
        Outcome.HELD if name in held else Outcome.UNCLEAR if name in begun else Outcome.NOT_TRIED
        for name, _ in steps
    ]
    return of_steps(steps, outcomes)


def _stages(names: Sequence[str], name: str) -> set[str]:
    """The names under which samples were kept that are counted as this step's doing."""
    following = names[names.index(name) + 1 :][:1]
    return {name, f"after {name}", *(f"before {one}" for one in following)}


def _out_of_limits(seen: Sequence[Extreme], stages: set[str]) -> frozenset[str]:
    return frozenset(one.signal for one in seen if one.stage in stages and one.state in _DECIDES)


def _not_back(seen: Sequence[Extreme]) -> frozenset[str]:
    """The signals that were not well at the last look of the recovery."""
    newest: dict[tuple[str, str], Extreme] = {}
    for one in seen:
        if one.stage == RECOVERY:
            key = (one.signal, one.service)
            newest[key] = max(newest.get(key, one), one, key=lambda each: each.newest)
    return frozenset(one.signal for one in newest.values() if one.state == State.BREACH)


def _worst(watch: Watch, rows: Sequence[Extreme]) -> Worst | None:
    lower = worse_of(watch) == "lower"
    values = [
        Worst(value, one.service)
        for one in rows
        # A threshold speaks of every service, the steady state of those that it names.
        if one.signal == watch.name and (watch.concerns(one.service) or one.state == State.OVER)
        if (value := one.least if lower else one.most) is not None
    ]
    worst = (min if lower else max)(values, key=lambda one: one.value, default=None)
    several = len({one.service for one in values}) > 1
    # Where every service reads the same, none is named.
    if worst is not None and several and all(one.value == worst.value for one in values):
        return Worst(worst.value, "")
    return worst
