"""What was written down is read back as it was, by whoever looks, and nothing is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from gameday.errors import UsageError
from gameday.journal.store import Event, FaultRecord, Journal, JournalError, Observation, RunRecord, Verdict

START = datetime(2026, 11, 23, 10, 15, 30, 123456, tzinfo=UTC)
RECORD = RunRecord(
    run="20261123t101530-basic-pod-failure-7f3a",
    experiment="basic-pod-failure",
    environment="staging",
    requested_by="Zoë",
    reason="Game day | autumn\n'; DROP TABLE runs; --",
    started_at=START,
    flow_run="0f0e5f44-6c4b-4f0e-9a53-2d6d9e1f8f10",
    plan={"stages": [{"name": "one", "duration": "5m"}]},
    digest="a" * 64,
)


@pytest.fixture
def url(database: str) -> str:
    return database


@pytest.fixture
def in_a_file(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'sub' / 'journal.db'}"


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    async with Journal.open(url) as opened:
        yield opened


async def test_a_run_is_read_back_as_it_was_written(journal: Journal) -> None:
    await journal.begin(RECORD)
    assert await journal.find(RECORD.run) == RECORD


async def test_what_becomes_of_a_run_is_added(journal: Journal) -> None:
    await journal.begin(RECORD)
    end = START + timedelta(minutes=6)
    await journal.amend(RECORD.run, verdict="held", summary="fine", ended_at=end, report="/r.md")
    found = await journal.find(RECORD.run)
    assert found == replace(RECORD, verdict=Verdict.HELD, summary="fine", ended_at=end, report="/r.md")
    assert found.verdict is Verdict.HELD


async def test_events_are_read_back_in_order_and_after_a_number(journal: Journal) -> None:
    await journal.begin(RECORD)
    wanted = [
        Event(
            RECORD.run, START + timedelta(seconds=n), "note", f"event {n} ✓", {"n": n, "deep": [{"x": None}]}
        )
        for n in range(5)
    ]
    numbers = [await journal.append(one) for one in wanted]
    assert numbers == sorted(set(numbers))
    assert await journal.events(RECORD.run) == [
        replace(one, id=number) for one, number in zip(wanted, numbers, strict=True)
    ]
    assert [one.message for one in await journal.events(RECORD.run, after=numbers[2])] == [
        "event 3 ✓",
        "event 4 ✓",
    ]
    assert await journal.events("another") == []


async def test_a_sample_is_read_back_with_its_event(journal: Journal) -> None:
    await journal.begin(RECORD)
    seen = [
        Observation(START, "kill", "p95", "redis", 0.25, None, "ok"),
        Observation(START, "kill", "p95", "auth-service", None, "empty: no such series", "unknown"),
        Observation(START, "kill", "p95", "", float("inf"), None, "over"),
    ]
    number = await journal.observe(RECORD.run, seen, Event(RECORD.run, START, "sample", "kill | 10s left"))
    assert await journal.observations(RECORD.run) == seen
    assert [one.id for one in await journal.events(RECORD.run)] == [number]
    await journal.observe(RECORD.run, [], Event(RECORD.run, START, "sample", "nothing"))
    assert len(await journal.events(RECORD.run)) == 2


async def test_a_fault_is_written_down_once_and_then_kept_up_to_date(journal: Journal) -> None:
    await journal.begin(RECORD)
    fault = FaultRecord("run-s1f1", "PodChaos", "chaos-engineering", "kill", START, proof="requested")
    await journal.put_fault(RECORD.run, fault)
    assert await journal.faults(RECORD.run) == [replace(fault, pods=[])]
    later = replace(fault, injected_at=START + timedelta(seconds=1), pods=["ns/redis-0"], proof="records")
    await journal.put_fault(RECORD.run, later)
    other = replace(fault, name="run-s2f1", requested_at=START + timedelta(minutes=1), pods=[])
    await journal.put_fault(RECORD.run, other)
    assert await journal.faults(RECORD.run) == [later, other]


async def test_times_come_back_in_utc_whatever_zone_they_were_written_in(journal: Journal) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    await journal.begin(replace(RECORD, started_at=START.astimezone(there)))
    found = await journal.find(RECORD.run)
    assert found is not None
    assert found.started_at == START
    assert found.started_at.utcoffset() == timedelta(0)


async def test_a_journal_is_read_by_others_while_it_is_written(url: str, journal: Journal) -> None:
    await journal.begin(RECORD)
    async with Journal.open(url) as other:
        await journal.append(Event(RECORD.run, START, "note", "seen at once"))
        assert [one.message for one in await other.events(RECORD.run)] == ["seen at once"]


async def test_what_was_written_is_there_when_the_journal_is_opened_again(url: str) -> None:
    async with Journal.open(url) as first:
        await first.begin(RECORD)
    async with Journal.open(url) as second:
        assert await second.find(RECORD.run) == RECORD


@pytest.mark.parametrize(
    "part", [RECORD.run, "20261123t101530", "20261123", "7f3a", "basic-pod-failure-7f3a"]
)
async def test_a_run_is_found_by_how_its_id_begins_or_ends(part: str, journal: Journal) -> None:
    await journal.begin(RECORD)
    await journal.begin(
        replace(RECORD, run="20250101t000000-other-0000", started_at=START - timedelta(days=9))
    )
    found = await journal.find(part)
    assert found is not None
    assert found.run == RECORD.run


@pytest.mark.parametrize("part", ["pod-failure", "", "%", "_", "8f3a"])
async def test_a_part_that_no_id_begins_or_ends_with_finds_nothing(part: str, journal: Journal) -> None:
    await journal.begin(RECORD)
    assert await journal.find(part) is None


async def test_of_several_runs_that_fit_the_newest_is_found(journal: Journal) -> None:
    for day in (3, 1, 2):
        run = f"2026112{day}t000000-basic-pod-failure-000{day}"
        await journal.begin(replace(RECORD, run=run, started_at=START + timedelta(days=day), flow_run=None))
    found = await journal.find("2026")
    assert found is not None
    assert found.run.startswith("20261123")
    assert [one.run[7] for one in await journal.latest()] == ["3", "2", "1"]
    assert len(await journal.latest(limit=2)) == 2


async def test_a_run_is_found_by_the_flow_run_that_carried_it_out(journal: Journal) -> None:
    await journal.begin(RECORD)
    assert await journal.of_flow_run(str(RECORD.flow_run)) == RECORD
    assert await journal.of_flow_run("another") is None


async def test_nothing_is_written_for_a_run_that_was_never_begun(journal: Journal) -> None:
    with pytest.raises(JournalError, match=r"(?i)foreign key"):
        await journal.append(Event("nobody", START, "note", "lost"))


async def test_a_run_is_begun_once(journal: Journal) -> None:
    await journal.begin(RECORD)
    with pytest.raises(JournalError, match=r"(?i)unique"):
        await journal.begin(RECORD)


async def test_two_writers_at_once_lose_nothing(url: str) -> None:
    async def write(journal: Journal, name: str) -> None:
        await journal.begin(replace(RECORD, run=name, flow_run=None))
        for number in range(40):
            await journal.append(Event(name, START, "note", f"{number}"))
            await journal.put_fault(name, FaultRecord(f"f{number}", "PodChaos", "ns", "s", START))

    async with Journal.open(url) as one, Journal.open(url) as other:
        await asyncio.gather(write(one, "first"), write(other, "second"))
        for name in ("first", "second"):
            assert [event.message for event in await one.events(name)] == [f"{n}" for n in range(40)]
            assert len(await one.faults(name)) == 40


async def test_many_may_open_a_new_journal_at_the_same_moment(url: str) -> None:
    async def begin(number: int) -> None:
        async with Journal.open(url) as journal:
            await journal.begin(replace(RECORD, run=f"run-{number}", flow_run=None))

    await asyncio.gather(*(begin(number) for number in range(8)))
    async with Journal.open(url) as journal:
        assert len(await journal.latest()) == 8


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        "sqlite:///journal.db",
        "mysterious+driver://host/db",
        "postgresql+asyncpg://user@host:port/db",
        "/var/lib/journal.db",
    ],
)
async def test_an_address_that_is_none_is_wrong_usage_and_shows_what_one_looks_like(bad: str) -> None:
    with pytest.raises(UsageError, match="GAMEDAY_DATABASE_URL is not a usable database URL") as caught:
        async with Journal.open(bad):
            pass
    assert "sqlite+aiosqlite:///PATH" in caught.value.hint


async def test_a_bad_address_never_shows_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        async with Journal.open("postgresql+asyncpg://user:s3cret@host:port/db"):
            pass
    assert "s3cret" not in caught.value.message


async def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory", encoding="utf-8")
    with pytest.raises(JournalError, match=r"file.*: the journal's directory cannot be made"):
        async with Journal.open(f"sqlite+aiosqlite:///{tmp_path}/file/journal.db"):
            pass


async def test_a_file_that_is_no_journal_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("Dear diary, " * 500, encoding="utf-8")
    with pytest.raises(JournalError, match=r"journal\.db failed: file is not a database"):
        async with Journal.open(f"sqlite+aiosqlite:///{path}"):
            pass
    assert path.read_text(encoding="utf-8").startswith("Dear diary")


async def test_a_directory_in_the_journals_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=rf"{tmp_path.name} failed: unable to open database file"):
        async with Journal.open(f"sqlite+aiosqlite:///{tmp_path}"):
            pass


@pytest.fixture
def tiny_disk() -> Iterator[None]:
    """A disk on which every database may have eighty pages of 4 KiB."""

    def limit(connection: Any, _: Any) -> None:
        connection.cursor().execute("PRAGMA max_page_count=80")

    event.listen(Engine, "connect", limit)
    yield
    event.remove(Engine, "connect", limit)


@pytest.mark.usefixtures("tiny_disk")
async def test_a_full_disk_is_told_with_the_place_and_loses_nothing_that_was_written(in_a_file: str) -> None:
    written: list[int] = []

    async def fill(journal: Journal) -> None:
        while len(written) < 100:
            written.append(await journal.append(Event(RECORD.run, START, "note", "x" * 4000)))

    async with Journal.open(in_a_file) as journal:
        await journal.begin(RECORD)
        with pytest.raises(JournalError, match=r"journal\.db failed: database or disk is full") as caught:
            await fill(journal)
        assert "Is the disk full" in caught.value.hint
        assert [one.id for one in await journal.events(RECORD.run)] == written != []


async def test_a_write_that_is_cancelled_comes_to_its_end_and_keeps_nobody_waiting(url: str) -> None:
    async with Journal.open(url) as journal, Journal.open(url) as other:
        await journal.begin(RECORD)
        for number in range(40):
            write = asyncio.create_task(journal.append(Event(RECORD.run, START, "note", f"{number}")))
            for _ in range(number):
                await asyncio.sleep(0)
            write.cancel()
            with suppress(asyncio.CancelledError):
                await write
            await other.append(Event(RECORD.run, START, "note", "another writer"))
        told = [one.message for one in await journal.events(RECORD.run)]
    written = [message for message in told if message != "another writer"]
    assert told.count("another writer") == 40
    assert written == sorted(written, key=int)
    assert written[-1] == "39", "what was begun was written"
