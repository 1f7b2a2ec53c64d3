"""Why: trends over thousands of runs must not read millions of observations.

Works out of a run's record, once it has ended, the few facts that histories and reviews ask for: what
was hit, how each service came back, how available the platform was, how often a person stepped in.
Made when it is first asked for, and anew where the record has changed since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gameday.journal.schema import (
    events,
    faults,
    observations,
    run_hits,
    run_recoveries,
    run_summaries,
    runs,
)

AVAILABILITY: Final = "availability"
"""The signal whose mean over a run is the run's availability: the name that the guide gives it."""

REMARK: Final = "remark"
"""The kind of an event that a person wrote; its data has ``by`` and ``intervention``."""

# So many runs are read at once.
_BATCH: Final = 200


async def summarise_missing(connection: AsyncConnection) -> None:
    """Summarise every run that has ended and has no summary yet."""
    while wanted := await _without_summary(connection):
        await summarise(connection, wanted)


async def _without_summary(connection: AsyncConnection) -> list[str]:
    has_none = ~select(run_summaries.c.run).where(run_summaries.c.run == runs.c.run).exists()
    query = select(runs.c.run).where(runs.c.verdict.is_not(None), has_none).limit(_BATCH)
    return list((await connection.execute(query)).scalars())


async def summarise(connection: AsyncConnection, wanted: Collection[str]) -> None:
    """Work the summaries of these runs out, whether they had one or not."""
    told = await _events(connection, wanted)
    injected = await _injected(connection, wanted)
    of_plans = select(runs.c.run, runs.c.plan).where(runs.c.run.in_(wanted))
    plans = {row.run: row.plan for row in await connection.execute(of_plans)}
    sampled = await _sampled(connection, wanted)
    for table in (run_hits, run_recoveries, run_summaries):
        await connection.execute(delete(table).where(table.c.run.in_(wanted)))
    rows = [
        {
            "run": run,
            "recovered_s": _recovered_s(told.get(run, ())),
            "availability": sampled.get(run, (0, None))[1],
            "samples": sampled.get(run, (0, None))[0],
            "interventions": sum(
                kind == REMARK and bool(data.get("intervention")) for kind, data in told.get(run, ())
            ),
        }
        for run in wanted
    ]
    hits = [row for run in wanted for row in _hits(run, plans.get(run), injected.get(run, ()))]
    recoveries = [row for run in wanted for row in _recoveries(run, told.get(run, ()))]
    for table, found in ((run_summaries, rows), (run_hits, hits), (run_recoveries, recoveries)):
        if found:
            await connection.execute(insert(table), found)


Told = Sequence[tuple[str, Mapping[str, Any]]]


async def _events(connection: AsyncConnection, wanted: Collection[str]) -> dict[str, list[Any]]:
    query = (
        select(events.c.run, events.c.kind, events.c.data)
        .where(events.c.run.in_(wanted), events.c.kind.in_(("recovery", "recovered", REMARK)))
        .order_by(events.c.id)
    )
    found: dict[str, list[Any]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.run, []).append((row.kind, row.data))
    return found


async def _injected(connection: AsyncConnection, wanted: Collection[str]) -> dict[str, set[str]]:
    query = select(faults.c.run, faults.c.name).where(
        faults.c.run.in_(wanted), faults.c.injected_at.is_not(None)
    )
    found: dict[str, set[str]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.run, set()).add(row.name)
    return found


async def _sampled(
    connection: AsyncConnection, wanted: Collection[str]
) -> dict[str, tuple[int, float | None]]:
    """By run: how many samples there are, and the mean availability in them."""
    query = (
        select(
            observations.c.run,
            func.count(observations.c.at.distinct()),
            func.avg(observations.c.value),
        )
        .where(observations.c.run.in_(wanted), observations.c.signal == AVAILABILITY)
        .group_by(observations.c.run)
    )
    return {run: (count, mean) for run, count, mean in await connection.execute(query)}


def _recovered_s(told: Told) -> float | None:
    took = [data.get("took_s") for kind, data in told if kind == "recovery"]
    return float(took[-1]) if took and took[-1] is not None else None


def _hits(run: str, plan: Mapping[str, Any] | None, injected: Iterable[str]) -> Iterator[dict[str, str]]:
    """The services of which the faults that went in could hit a pod, by what hit them."""
    names = set(injected)
    seen = set()
    for stage in (plan or {}).get("stages", ()):
        for fault in stage.get("faults", ()):
            if fault.get("name") not in names:
                continue
            action = str(fault.get("chaosObject", {}).get("spec", {}).get("action", ""))
            for share in fault.get("shares", ()):
                found = (str(share.get("service", "")), str(fault.get("kind", "")), action)
                if found not in seen:
                    seen.add(found)
                    yield {"run": run} | dict(zip(("service", "kind", "action"), found, strict=True))


def _recoveries(run: str, told: Told) -> Iterator[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, data in told:
        for one in data.get("services", ()) if kind == "recovered" else ():
            key = (str(one.get("stage", "")), str(one.get("service", "")))
            found[key] = {
                "run": run,
                "stage": key[0],
                "service": key[1],
                "outcome": str(one.get("outcome", "")),
                "took_s": one.get("tookS", one.get("took_s")),
            }
    yield from found.values()
