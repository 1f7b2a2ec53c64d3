"""Why: what teams learn over a year stands in all their runs together, and must be found at once.

Looks up runs by what they were, page by page, and gives the rows that trends, coverage and reviews are
made of. Reads the runs' summaries, never their observations. What follows from them is for
``gameday.analysis``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from gameday.journal.schema import findings, run_hits, run_recoveries, run_summaries, runs
from gameday.journal.store import Journal, JournalError, Verdict, place, to_its_end
from gameday.journal.summary import summarise, summarise_missing

# SQLite takes 32,766 values in one statement.
_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A service met a fault; ``action`` is "" for kinds that have none."""

    service: str
    kind: str
    action: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a service came back after a stage; ``took_s`` in seconds, None where it did not or was unseen."""

    stage: str
    service: str
    outcome: str
    took_s: float | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in few facts. What only an ended run has is None, or empty, while it goes on.

    ``recovered_s`` is how long the platform as a whole took after the last fault, ``availability`` the
    mean over all samples and services, ``interventions`` how often a person stepped in.
    """

    run: str
    experiment: str
    environment: str
    requested_by: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    verdict: Verdict | None
    summary: str
    suite: str | None
    digest: str | None
    sandbox: bool = False
    recovered_s: float | None = None
    availability: float | None = None
    samples: int = 0
    interventions: int = 0
    findings: int = 0
    hits: tuple[Hit, ...] = ()
    recoveries: tuple[Recovery, ...] = ()

    @property
    def where(self) -> str:
        """Where it was run, in words."""
        return place(self.environment, self.sandbox)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that met a fault, sorted."""
        return tuple(sorted({hit.service for hit in self.hits}))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs: those that match everything that is given. ``until`` is not one of its moments.

    ``sandbox`` False are those on clusters, None all of them.
    """

    experiment: str = ""
    environment: str = ""
    verdict: Verdict | None = None
    service: str = ""
    since: datetime | None = None
    until: datetime | None = None
    suite: str = ""
    sandbox: bool | None = None


class History:
    """All runs of a journal. All methods raise ``JournalError``."""

    def __init__(self, journal: Journal) -> None:
        """Look in ``journal``, which must be open."""
        self._journal = journal

    @to_its_end
    async def newest(self, wanted: Wanted | None = None, *, limit: int = 20) -> list[RunRow]:
        """The newest runs that match, newest first."""
        return await self._rows(wanted or Wanted(), limit=limit, newest_first=True)

    @to_its_end
    async def rows(self, wanted: Wanted | None = None) -> list[RunRow]:
        """All runs that match, oldest first."""
        return await self._rows(wanted or Wanted(), limit=None, newest_first=False)

    @to_its_end
    async def count(self, wanted: Wanted) -> int:
        """How many runs match."""
        async with self._journal.transaction() as connection:
            query = matching(select(func.count()).select_from(runs), wanted)
            return int((await connection.execute(query)).scalar() or 0)

    @to_its_end
    async def refresh(self, run: str) -> None:
        """Work the facts of a run out anew: something was added to its record."""
        async with self._journal.transaction() as connection:
            known = select(run_summaries.c.run).where(run_summaries.c.run == run)
            if (await connection.execute(known)).first() is not None:
                await summarise(connection, [run])

    # Two that look at once may both want to write the same: the second finds it done.
    @retry(retry=retry_if_exception_type(JournalError), stop=stop_after_attempt(3), reraise=True)
    async def _summarise(self) -> None:
        async with self._journal.transaction() as connection:
            await summarise_missing(connection)

    async def _rows(self, wanted: Wanted, *, limit: int | None, newest_first: bool) -> list[RunRow]:
        order = runs.c.started_at.desc() if newest_first else runs.c.started_at
        query = matching(_facts(), wanted).order_by(order, runs.c.run).limit(limit)
        await self._summarise()
        async with self._journal.transaction() as connection:
            found = [_row(row) for row in (await connection.execute(query)).mappings()]
            names = [row.run for row in found]
            hits = await _grouped(connection, select(run_hits), run_hits.c.run, names)
            recoveries = await _grouped(connection, select(run_recoveries), run_recoveries.c.run, names)
            counts = await _grouped(
                connection,
                select(findings.c.run, func.count().label("count")).group_by(findings.c.run),
                findings.c.run,
                names,
            )
        return [
            replace(
                row,
                hits=tuple(Hit(one["service"], one["kind"], one["action"]) for one in hits.get(row.run, ())),
                recoveries=tuple(
                    Recovery(one["stage"], one["service"], one["outcome"], one["took_s"])
                    for one in recoveries.get(row.run, ())
                ),
                findings=sum(one["count"] for one in counts.get(row.run, ())),
            )
            for row in found
        ]


def _facts() -> Select[Any]:
    return select(
        *(runs.c[name] for name in _OF_THE_RUN),
        *(run_summaries.c[name] for name in _OF_THE_SUMMARY),
    ).outerjoin(run_summaries, run_summaries.c.run == runs.c.run)


_OF_THE_RUN: Final = (
    "run",
    "experiment",
    "environment",
    "requested_by",
    "reason",
    "started_at",
    "ended_at",
    "verdict",
    "summary",
    "suite",
    "digest",
    "sandbox",
)
_OF_THE_SUMMARY: Final = ("recovered_s", "availability", "samples", "interventions")


def matching(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """``query``, which is about runs, for those that match."""
    for column, value in (
        (runs.c.experiment, wanted.experiment),
        (runs.c.environment, wanted.environment),
        (runs.c.suite, wanted.suite),
        (runs.c.verdict, wanted.verdict.value if wanted.verdict else ""),
    ):
        if value:
            query = query.where(column == value)
    if wanted.sandbox is not None:
        query = query.where(runs.c.sandbox.is_(wanted.sandbox))
    if wanted.since is not None:
        query = query.where(runs.c.started_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(runs.c.started_at < wanted.until)
    if wanted.service:
        query = query.where(
            runs.c.run.in_(select(run_hits.c.run).where(run_hits.c.service == wanted.service))
        )
    return query


def _row(row: Any) -> RunRow:
    values = {name: row[name] for name in (*_OF_THE_RUN, *_OF_THE_SUMMARY)}
    values["verdict"] = Verdict(values["verdict"]) if values["verdict"] else None
    for name, none in (("summary", ""), ("samples", 0), ("interventions", 0)):
        values[name] = values[name] or none
    return RunRow(**values)


async def _grouped(
    connection: Any, query: Select[Any], column: Any, names: Sequence[str]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for begin in range(0, len(names), _AT_ONCE):
        part = query.where(column.in_(names[begin : begin + _AT_ONCE]))
        for row in (await connection.execute(part)).mappings():
            found.setdefault(row["run"], []).append(row)
    return found
