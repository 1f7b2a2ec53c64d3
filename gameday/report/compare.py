"""Why: whether something was mended is seen by the same experiment, before and after.

Sets two runs side by side: how each ended, what each found, and signal by signal whether the second
was worse or better while faults were in, by the method of the analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gameday.analysis.effects import METHOD, Worse, compare, summary
from gameday.analysis.model import Change, Effect, Finding
from gameday.analysis.series import Table, Values
from gameday.report.data import ReportData


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of both runs."""

    what: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether they are not the same."""
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs side by side. ``effects`` are of the second against the first; ``before`` is the first's.

    ``warnings`` say what makes the two hard to compare.
    """

    first: str
    second: str
    facts: Sequence[Row]
    effects: Sequence[Effect]
    gone: Sequence[Finding]
    new: Sequence[Finding]
    still: Sequence[Finding]
    warnings: Sequence[str]
    method: str = METHOD


def compare_runs(first: ReportData, second: ReportData, worse_when: Callable[[str], Worse]) -> Compared:
    """Set ``second`` beside ``first``; ``worse_when`` says in which direction a signal gets worse."""
    found = [_findings(one) for one in (first, second)]
    return Compared(
        first=first.run.run,
        second=second.run.run,
        facts=list(_facts(first, second)),
        effects=list(_effects(first, second, worse_when)),
        gone=[one for key, one in found[0].items() if key not in found[1]],
        new=[one for key, one in found[1].items() if key not in found[0]],
        still=[one for key, one in found[1].items() if key in found[0]],
        warnings=list(_warnings(first, second)),
    )


def _findings(data: ReportData) -> dict[str, Finding]:
    return {one.key: one for one in (data.analysis.findings if data.analysis is not None else ())}


def _warnings(first: ReportData, second: ReportData) -> Iterator[str]:
    if first.run.experiment != second.run.experiment:
        yield f"different experiments: {first.run.experiment} and {second.run.experiment}"
    elif first.run.digest != second.run.digest:
        yield "the plans differ: their faults, limits or durations are not the same"
    if first.run.environment != second.run.environment:
        yield f"different environments: {first.run.environment} and {second.run.environment}"
    for data in (first, second):
        if data.analysis is None:
            yield f"{data.run.run} was not analysed; `gameday analyse {data.run.run}` does it"


def _facts(first: ReportData, second: ReportData) -> Iterator[Row]:
    both = (first, second)

    def row(what: str, *values: str) -> Row:
        return Row(what, values[0], values[1])

    yield row("experiment", *(one.run.experiment for one in both))
    yield row("environment", *(one.run.environment for one in both))
    yield row("verdict", *(one.verdict for one in both))
    yield row("plan", *((one.run.digest or "none")[:16] for one in both))
    yield row("recovery", *(one.recovery_words for one in both))
    yield row("resilience", *map(_resilience, both))
    yield row("requests failed", *map(_failed, both))
    yield row("interventions", *map(_interventions, both))
    stages = dict.fromkeys(
        each.stage for one in both if one.analysis is not None for each in one.analysis.detections
    )
    for stage in stages:
        yield row(f"detected, {stage}", *(_detected(one, stage) for one in both))


def _resilience(data: ReportData) -> str:
    scores = data.analysis.scores if data.analysis is not None else ()
    return f"{scores[0].value:.0f} of 100" if scores else "not known"


def _failed(data: ReportData) -> str:
    budgets = data.analysis.budgets if data.analysis is not None else ()
    return f"{sum(one.failed for one in budgets):.0f}" if budgets else "not known"


def _interventions(data: ReportData) -> str:
    return str(sum(bool(event.data.get("intervention")) for event in data.remarks))


def _detected(data: ReportData, stage: str) -> str:
    own = data.analysis.detections if data.analysis is not None else ()
    took = [one.took for one in own if one.stage == stage and one.took is not None]
    return f"{min(took).total_seconds():.0f} s" if took else "not at all"


def _effects(first: ReportData, second: ReportData, worse_when: Callable[[str], Worse]) -> Iterator[Effect]:
    tables = Table(first.series), Table(second.series)
    known = {(one.signal, one.service): one.unit for one in first.series}
    for one in second.series:
        key = one.signal, one.service
        if key not in known:
            continue
        values = [_during(table, data, *key) for table, data in zip(tables, (first, second), strict=True)]
        found = compare(values[0], values[1], worse_when(one.signal))
        yield Effect.model_validate(
            {"signal": one.signal, "service": one.service, "unit": known[key]}
            | {"before": summary(values[0]), "during": summary(values[1])}
            | found
        )


def _during(table: Table, data: ReportData, signal: str, service: str) -> Values:
    parts = [table.window(signal, service, stage) for stage in data.stages]
    return np.concatenate([np.empty(0), *parts])


def ranked(effects: Sequence[Effect]) -> list[Effect]:
    """Those that differ, what got worse first."""
    order: Sequence[Change] = ("worse", "better")
    return sorted(
        (one for one in effects if one.change in order),
        key=lambda one: (order.index(one.change), -abs(one.shift or 0.0)),
    )
