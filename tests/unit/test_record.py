"""What a run writes down is whole and in order, although its journal fails or hangs for a while."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gameday.clock import SystemClock
from gameday.journal.store import Event, FaultRecord, Journal, Observation, Verdict
from gameday.run.context import Requested, Run, Session
from gameday.run.record import Record
from tests.unit.test_report import NOT_NEEDED, RECORD, RUN, plan

AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
FAULT = FaultRecord("fault-a", "PodChaos", "pyairtable-staging", "one", requested_at=AT, pods=["pod-a"])
SEEN = [Observation(AT, "one", "p95", "api-gateway", 0.1, None, "ok")]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as opened:
        await opened.begin(RECORD)
        yield opened


@pytest.fixture
def run(journal: Journal) -> Run:
    session = Session(journal=journal, clock=SystemClock(), **dict.fromkeys(NOT_NEEDED))  # type: ignore[arg-type] # telling needs no more
    return Run(plan(), session, Requested("a-person", "game day"))


@contextmanager
def outage(tmp_path: Path) -> Iterator[None]:
    """Nothing can be inserted meanwhile."""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        for table in ("events", "observations", "faults"):
            full = "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            database.execute(f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} {full}")
        yield
        for table in ("events", "observations", "faults"):
            database.execute(f"DROP TRIGGER no_{table}")


async def test_an_outage_of_the_journal_loses_nothing_of_what_was_told_meanwhile(
    run: Run, journal: Journal, tmp_path: Path
) -> None:
    await run.tell("note", "before")
    with outage(tmp_path):
        await run.tell("note", "first")
        await run.record_fault(FAULT)
        await run.observe(SEEN, "second")
        await run.tell("note", "third")
        assert await journal.faults(RUN) == []
    assert "disk full" in run.journal_lost
    await run.tell("note", "after")
    told = [event.message for event in await journal.events(RUN)]
    assert [one for one in told if one != run.journal_lost] == ["before", "first", "second", "third", "after"]
    assert told.count(run.journal_lost) == 1, "the record itself tells of it"
    assert await journal.faults(RUN) == [FAULT]
    assert await journal.observations(RUN) == SEEN


async def test_a_verdict_that_could_not_be_written_is_written_with_the_next_word(
    run: Run, journal: Journal, tmp_path: Path
) -> None:
    with outage(tmp_path):
        await run.conclude(Verdict.ABORTED, ("the record cannot be kept",))
    await run.tell("note", "after")
    record = await journal.find(RUN)
    assert record is not None
    assert record.verdict is Verdict.ABORTED
    assert (await journal.events(RUN))[-1].message == "after"


async def test_a_run_goes_on_while_its_journal_hangs_and_what_it_missed_comes_later(
    run: Run, journal: Journal, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for number in range(6):
            await run.tell("note", str(number))
        assert "did not answer" in run.journal_lost, "the database itself waits ten seconds for others"
        other.execute("ROLLBACK")
    await run._record.close()
    told = [event.message for event in await journal.events(RUN)]
    assert [one for one in told if one != run.journal_lost] == [str(number) for number in range(6)]


async def test_whoever_is_cancelled_while_it_writes_has_written(run: Run, journal: Journal) -> None:
    telling = asyncio.create_task(run.tell("note", "cancelled"))
    await asyncio.sleep(0)
    telling.cancel()
    await asyncio.wait({telling})
    await run.tell("note", "after")
    assert [event.message for event in await journal.events(RUN)] == ["cancelled", "after"]


async def test_what_is_wrong_with_the_program_is_no_outage(journal: Journal) -> None:
    record = Record(lambda why: None)

    async def broken() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await record.write(broken)
    written = Event(RUN, AT, "note", "after")
    await record.write(lambda: journal.append(written))
    assert record.lost == ""
    assert [event.message for event in await journal.events(RUN)] == ["after"]
