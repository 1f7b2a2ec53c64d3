"""Why: once a quarter people ask what was learned and what was mended, and want it counted, not remembered.

Puts a quarter together beside the one before: what ran and how it ended, the metrics and their trends,
what was mended and whether that holds, what is new and what is overdue, what was never tried and what
comes next. Pure: what it looks at was read by ``gameday.report.past``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from gameday.analysis.coverage import Coverage, Growth, coverage, growth
from gameday.analysis.improvements import Improvement, improvements
from gameday.analysis.model import Severity
from gameday.analysis.periods import Period, before, months_later
from gameday.analysis.suggest import Known, Suggestion, suggest
from gameday.analysis.trends import METHOD, METRICS, Metric, MetricName, Trend, Value, trends, worked_out
from gameday.journal.actions import ActionItem
from gameday.journal.history import RunRow
from gameday.journal.results import FindingRecord
from gameday.journal.store import Verdict, place
from gameday.spec.base import Model

_SUGGESTED: Final = 10
_SEVERITIES: Final[Mapping[str, int]] = {"high": 0, "medium": 1, "low": 2}


class OfExperiment(Model):
    """The runs of one experiment in a quarter."""

    experiment: str
    verdicts: dict[str, int]
    last_run: str
    last_verdict: Verdict

    @property
    def runs(self) -> int:
        """How many there were."""
        return sum(self.verdicts.values())


class Side(Model):
    """What was counted in one quarter."""

    period: Period
    runs: int
    people: Annotated[int, Field(description="how many asked for runs")]
    verdicts: dict[str, int]
    experiments: tuple[OfExperiment, ...]
    metrics: dict[MetricName, Value]
    weaknesses: Annotated[int, Field(description="different ones that were found, new or not")]
    mended: Annotated[int, Field(description="action items that were closed")]


class Weakness(Model):
    """Something that was found in the quarter for the first time."""

    key: str
    title: str
    severity: Severity
    service: str
    experiment: str
    owner: str
    run: Annotated[str, Field(description="that found it first")]
    runs: Annotated[int, Field(description="in how many runs of the quarter it was found")]
    item: int | None = None
    open: bool = True


class Overdue(Model):
    """An action item that should be done by now."""

    item: int
    title: str
    owner: str
    assignee: str
    severity: str
    due: datetime
    days: int


class Review(Model):
    """A quarter, beside the one before."""

    platform: str
    environment: Annotated[str, Field(description="empty: all of them")] = ""
    sandbox: Annotated[bool, Field(description="of runs on the sandbox, not of those on clusters")] = False
    quarter: Period
    made_at: datetime
    going_on: Annotated[bool, Field(description="the quarter is not over yet")] = False
    this: Side
    last: Side
    metrics: tuple[Metric, ...] = tuple(METRICS.values())
    method: str = METHOD
    by_month: Annotated[tuple[Trend, ...], Field(description="over the year that ends with the quarter")]
    by_week: Annotated[tuple[Trend, ...], Field(description="over the quarter")]
    improvements: tuple[Improvement, ...]
    weaknesses: tuple[Weakness, ...]
    open_items: int
    overdue: tuple[Overdue, ...]
    coverage: Coverage
    suggestions: tuple[Suggestion, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing was run and nothing mended."""
        return not self.this.runs and not self.improvements

    @property
    def where(self) -> str:
        """Where it was run, in words that follow others; "" for everywhere."""
        if self.environment:
            return f" on {place(self.environment, self.sandbox)}"
        return " on the sandbox" if self.sandbox else ""

    @property
    def in_short(self) -> str:
        """The quarter in one sentence."""
        where = self.where
        if self.empty:
            return f"Nothing was run{where} in {self.quarter.label}, and nothing was mended."
        held = self.this.verdicts.get(Verdict.HELD.value, 0)
        proved = sum(one.proof == "holds" for one in self.improvements)
        new = len(self.weaknesses)
        return (
            f"{_count(self.this.runs, 'run')}{where}, of which {held} held; "
            f"{_count(new, 'new weakness', 'new weaknesses')}; "
            f"{_count(len(self.improvements), 'action item')} closed, {proved} of them proved; "
            f"{len(self.overdue)} overdue; "
            f"{len(self.coverage.met)} of {len(self.coverage.cells)} faults tried so far."
        )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


@dataclass(frozen=True)
class Found:
    """The findings of the quarter and of the one before, and when each key was found first at all."""

    findings: Sequence[FindingRecord]
    first: Mapping[str, datetime]


def review(known: Known, found: Found, wanted: Period) -> Review:
    """The review of the quarter ``wanted``."""
    year = wanted.model_copy(update={"begin": months_later(wanted.end, -12)})
    closed = [one for one in known.items if one.closed_at is not None and wanted.has(one.closed_at)]
    until = [row for row in known.rows if row.started_at < wanted.end]
    grown = growth(known.rows, known.platform, known.usable, known.now)
    return Review.model_validate(
        {
            "platform": known.platform.name,
            "environment": known.environment,
            "sandbox": known.sandbox,
            "quarter": wanted,
            "madeAt": known.now,
            "goingOn": wanted.has(known.now),
            "this": _side(known, found, wanted, grown),
            "last": _side(known, found, before(wanted), grown),
            "byMonth": trends(known.rows, year, "month", grown),
            "byWeek": trends(known.rows, wanted, "week", grown),
            "improvements": improvements(closed, known.rows, known.items),
            "weaknesses": _weaknesses(known, found, wanted),
            "openItems": sum(one.open for one in known.items),
            "overdue": _overdue(known.items, known.now),
            "coverage": coverage(until, known.platform, known.usable),
            "suggestions": suggest(known, _SUGGESTED),
        }
    )


def _side(known: Known, found: Found, period: Period, grown: Growth) -> Side:
    rows = [row for row in known.rows if row.verdict is not None and period.has(row.started_at)]
    own = {row.run for row in rows}
    return Side.model_validate(
        {
            "period": period,
            "runs": len(rows),
            "people": len({row.requested_by for row in rows if row.requested_by}),
            "verdicts": _verdicts(rows),
            "experiments": _by_experiment(rows),
            "metrics": worked_out(rows, period, grown),
            "weaknesses": len({one.key for one in found.findings if one.run in own}),
            "mended": sum(one.closed_at is not None and period.has(one.closed_at) for one in known.items),
        }
    )


def _verdicts(rows: Iterable[RunRow]) -> dict[str, int]:
    counted = Counter(row.verdict for row in rows)
    return {verdict.value: counted[verdict] for verdict in Verdict if counted[verdict]}


def _by_experiment(rows: Iterable[RunRow]) -> list[OfExperiment]:
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        found.setdefault(row.experiment, []).append(row)
    return [
        OfExperiment.model_validate(
            {
                "experiment": name,
                "verdicts": _verdicts(own),
                "lastRun": own[-1].run,
                "lastVerdict": own[-1].verdict,
            }
        )
        for name, own in sorted(found.items())
    ]


def _weaknesses(known: Known, found: Found, wanted: Period) -> list[Weakness]:
    started = {row.run: row for row in known.rows if wanted.has(row.started_at)}
    items: dict[str, ActionItem] = {}
    for item in sorted(known.items, key=lambda one: one.item):
        items[item.key] = item
    of_key: dict[str, list[FindingRecord]] = {}
    for one in found.findings:
        if one.run in started and found.first.get(one.key, wanted.begin) >= wanted.begin:
            of_key.setdefault(one.key, []).append(one)
    result = []
    for key, seen in of_key.items():
        first, newest, due = seen[0], seen[-1], items.get(key)
        result.append(
            Weakness.model_validate(
                {
                    "key": key,
                    "title": str(newest.body.get("title") or key),
                    "severity": newest.severity,
                    "service": newest.service,
                    "experiment": started[first.run].experiment,
                    "owner": due.owner if due else str(newest.body.get("owner") or ""),
                    "run": first.run,
                    "runs": len({one.run for one in seen}),
                    "item": due.item if due else None,
                    "open": due is None or due.open,
                }
            )
        )
    return sorted(result, key=lambda one: (_SEVERITIES[one.severity], one.service, one.key))


def _overdue(items: Iterable[ActionItem], now: datetime) -> list[Overdue]:
    late = sorted(
        ((one.due, one) for one in items if one.due is not None and one.overdue(now)),
        key=lambda one: (one[0], one[1].item),
    )
    return [
        Overdue(
            item=one.item,
            title=one.title,
            owner=one.owner,
            assignee=one.assignee,
            severity=one.severity,
            due=due,
            days=(now - due).days,
        )
        for due, one in late
    ]
