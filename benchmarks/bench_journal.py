"""How fast a journal of 2,000 runs and 1,000,000 observations answers, on SQLite and on PostgreSQL.

A year of runs, five a day, each with 500 samples of its signals, its faults, what came back, findings.
Asked for are the history, the trends of the whole year and the quarterly review: each in 2 s at most, as
a process of its own, imports and all. The very first look, which works out the facts of each run once,
stands apart: in life each run is worked out by the first look after its end. Beside it stands what the
same answer costs where it is counted from the observations themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from benchmarks.measuring import NotMeasuredError, Spread, head, run, say, table
from benchmarks.surroundings import clean_environment, gameday_command
from gameday.analysis.coverage import growth
from gameday.analysis.periods import Period
from gameday.analysis.trends import trends
from gameday.journal.history import History, Wanted
from gameday.journal.schema import events, faults, findings, observations, runs
from gameday.journal.store import Journal
from gameday.spec.catalogue import Catalogue
from tests.databases import new_database, postgresql_server

_RUNS, _SAMPLES, _SIGNALS = 2000, 100, ("availability", "errors", "p95", "cpu", "memory")
_YEAR = 2026
_WHOLE = Period(
    label=str(_YEAR), begin=datetime(_YEAR, 1, 1, tzinfo=UTC), end=datetime(_YEAR + 1, 1, 1, tzinfo=UTC)
)
_LIMIT_S, _TARGET_S = 60, 2
_SERVICES = ("api-gateway", "auth-service", "platform-services", "automation-services", "postgres", "redis")
_EXPERIMENTS = ("basic-pod-failure", "network-resilience", "gradual-failure")
_CHUNK = 20_000


def _moment(number: int) -> datetime:
    return datetime(_YEAR, 1, 1, 9, tzinfo=UTC) + number * (timedelta(days=364) / _RUNS)


def _name(number: int) -> str:
    return f"{_moment(number):%Y%m%dt%H%M%S}-{_EXPERIMENTS[number % 3]}-{number:04x}"


def _run_rows(chance: random.Random) -> Iterator[tuple[Any, dict[str, Any]]]:
    for number in range(_RUNS):
        name, began = _name(number), _moment(number)
        service = _SERVICES[number % len(_SERVICES)]
        held = chance.random() < 0.5 + 0.4 * number / _RUNS
        fault: dict[str, Any] = {
            "name": f"{name}-s1f1",
            "kind": "PodChaos",
            "chaosObject": {"spec": {"action": "pod-kill"}},
        }
        fault["shares"] = [{"service": service, "hit": 1, "of": 3}]
        yield (
            runs,
            {"run": name, "experiment": _EXPERIMENTS[number % 3], "environment": "staging"}
            | {"requested_by": "platform-team", "reason": "weekly", "started_at": began}
            | {"ended_at": began + timedelta(minutes=9), "verdict": "held" if held else "disproved"}
            | {"summary": "", "plan": {"stages": [{"name": "kill", "faults": [fault]}]}},
        )
        yield (
            faults,
            {"run": name, "name": fault["name"], "kind": "PodChaos", "namespace": "chaos-engineering"}
            | {"stage": "kill", "requested_at": began, "injected_at": began, "ended_at": began}
            | {"pods": [], "proof": ""},
        )
        back = {"stage": "kill", "service": service, "outcome": "back", "tookS": chance.uniform(4, 60)}
        for kind, data in (
            ("recovered", {"services": [back]}),
            ("recovery", {"in_time": True, "took_s": chance.uniform(4, 90)}),
        ):
            yield events, {"run": name, "at": began, "kind": kind, "message": kind, "data": data}
        if not held:
            key = f"{_EXPERIMENTS[number % 3]}/kill/broken/p95/{service}"
            body = {"key": key, "severity": "high", "title": f"p95 of {service}", "service": service}
            yield (
                findings,
                {"run": name, "key": key, "severity": "high", "service": service}
                | {"breaks_hypothesis": True, "body": body},
            )


def _observed() -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)
    for number in range(_RUNS):
        name, began = _name(number), _moment(number)
        for sample in range(_SAMPLES):
            at = began + timedelta(seconds=5 * sample)
            for signal in _SIGNALS:
                yield name, at, "kill", signal, _SERVICES[sample % 6], chance.random(), None, "ok"


_COLUMNS = ("run", "at", "stage", "signal", "service", "value", "unknown", "state")


async def fill(url: str) -> None:
    """Write the year down, in large pieces."""
    async with Journal.open(url) as journal:
        by_table: dict[Any, list[dict[str, Any]]] = {}
        for where, values in _run_rows(random.Random(2)):
            by_table.setdefault(where, []).append(values)
        async with journal.transaction() as connection:
            for where in (runs, faults, events, findings):
                await connection.execute(insert(where), by_table[where])
            chunk: list[tuple[Any, ...]] = []
            for row in _observed():
                chunk.append(row)
                if len(chunk) == _CHUNK:
                    await _write(connection, chunk)
                    chunk = []
            if chunk:
                await _write(connection, chunk)


async def _write(connection: Any, chunk: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "postgresql":
        raw = (await connection.get_raw_connection()).driver_connection
        # COPY knows nothing of our types: a moment as the column keeps it.
        await raw.copy_records_to_table("observations", records=chunk, columns=_COLUMNS)
        return
    await connection.execute(insert(observations), [dict(zip(_COLUMNS, row, strict=True)) for row in chunk])


async def in_process(url: str) -> dict[str, float]:
    """Seconds of the first look, of each look after it, and of counting the observations instead."""
    took = {}
    async with Journal.open(url) as journal:
        history = History(journal)
        began = time.perf_counter()
        await history.newest(limit=20)
        took["the very first look, which works out 2,000 runs"] = time.perf_counter() - began
        began = time.perf_counter()
        await history.newest(limit=20)
        took["history: the newest 20"] = time.perf_counter() - began
        began = time.perf_counter()
        await history.newest(Wanted(service="redis", since=_moment(_RUNS // 2)), limit=50)
        took["history: 50 of redis in half a year"] = time.perf_counter() - began
        began = time.perf_counter()
        rows = await history.rows(Wanted(since=_WHOLE.begin, until=_WHOLE.end))
        grown = growth(rows, Catalogue().platform, (), _WHOLE.end)
        found = trends(rows, _WHOLE, "month", grown)
        took["trends of the year, by month"] = time.perf_counter() - began
        if len(rows) != _RUNS or not found:
            raise NotMeasuredError(f"{len(rows)} of {_RUNS} runs were found")
        began = time.perf_counter()
        await _counted(journal)
        took["the year's availability, counted from the observations"] = time.perf_counter() - began
    return took


async def _counted(journal: Journal) -> None:
    query = (
        select(observations.c.run, func.avg(observations.c.value))
        .where(observations.c.signal == "availability")
        .group_by(observations.c.run)
    )
    async with journal.transaction() as connection:
        (await connection.execute(query)).all()


def commands(url: str, directory: Path, times: int) -> dict[str, Spread]:
    """Wall seconds of the commands, as processes of their own."""
    env = clean_environment(directory) | {"GAMEDAY_DATABASE_URL": url}
    asked = {
        "gameday history": ["history"],
        "gameday review --quarter 2026Q3": ["review", "--quarter", f"{_YEAR}Q3"],
        "gameday suggest": ["suggest"],
    }
    found = {}
    for name, arguments in asked.items():
        command = [*gameday_command(), *arguments]
        walls = [
            run(command, env=env, directory=directory, limit_s=_LIMIT_S).require(0).wall_s
            for _ in range(times)
        ]
        found[name] = Spread.of(walls)
    return found


def measure(name: str, url: str, directory: Path, times: int) -> list[tuple[str, str, Any]]:
    """Fill the journal at ``url`` and ask it."""
    began = time.perf_counter()
    asyncio.run(fill(url))
    say(
        f"{name}: {_RUNS} runs, {_RUNS * _SAMPLES * len(_SIGNALS):,} observations, written in "
        f"{time.perf_counter() - began:.0f} s"
    )
    rows: list[tuple[str, str, Any]] = [
        (name, what, took) for what, took in asyncio.run(in_process(url)).items()
    ]
    return rows + [(name, what, spread) for what, spread in commands(url, directory, times).items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    times = 2 if parser.parse_args().quick else 5
    head(f"A journal of {_RUNS:,} runs; target {_TARGET_S} s each, the very first look apart")
    rows: list[tuple[str, str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        rows += measure("SQLite", f"sqlite+aiosqlite:///{directory / 'journal.db'}", directory, times)
        try:
            with postgresql_server() as server:
                rows += measure("PostgreSQL", new_database(server), directory, times)
        except pytest.skip.Exception as missing:
            say(f"PostgreSQL: not measured, {missing}")
    table(("database", "what", "s"), rows)


if __name__ == "__main__":
    main()
