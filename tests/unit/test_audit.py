"""The audit trail: everything is in it, in order, and whoever changes anything is found out."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.audit import Action, Audit, Entry, Place, digest, verify_export
from gameday.journal.store import Journal, JournalError
from gameday.settings import load

Capture = pytest.CaptureFixture[str]

AT = datetime(2026, 11, 23, 10, 15, 30, 123456, tzinfo=UTC)


async def write(count: int = 5, *, by: str = "ann", **detail: Any) -> list[Entry]:
    async with Journal.open(load().database_url) as journal:
        audit = Audit(journal)
        return [
            await audit.record(Action.STOP, by=by, source="command", at=AT, detail={"n": n, **detail})
            for n in range(count)
        ]


@pytest.fixture
def anywhere(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the trail once in SQLite and once in PostgreSQL."""
    monkeypatch.setenv("GAMEDAY_DATABASE_URL", database)


@pytest.fixture
def owner(isolated: Path) -> Callable[[str], None]:
    """Change the database as its owner can: with the triggers gone."""

    def change(statement: str) -> None:
        with closing(sqlite3.connect(isolated / "journal.db")) as connection, connection:
            for trigger in ("audit_unchanged", "audit_undeleted", "audit_appended"):
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            connection.execute(statement)

    return change


@pytest.mark.usefixtures("anywhere")
async def test_an_entry_says_who_what_when_and_from_where() -> None:
    async with Journal.open(load().database_url) as journal:
        audit = Audit(journal, Place("host-1", "gameday 7"))
        berlin = AT.astimezone(timezone(timedelta(hours=1)))
        kept = await audit.record("halt", by="ann", source="command", at=berlin, detail={"reason": "why"})
        (read,) = await audit.latest()
    assert read == kept
    assert (read.number, read.action, read.by, read.source) == (1, "halt", "ann", "command")
    assert (read.host, read.process, read.detail) == ("host-1", "gameday 7", {"reason": "why"})
    assert read.at == AT


@pytest.mark.usefixtures("anywhere")
async def test_each_entry_holds_the_hash_of_the_one_before() -> None:
    entries = await write(3)
    assert [one.previous for one in entries] == ["", entries[0].hash, entries[1].hash]
    assert [one.hash for one in entries] == [digest(one.as_dict()) for one in entries]


@pytest.mark.usefixtures("anywhere")
async def test_many_writers_at_once_make_one_chain() -> None:
    async with Journal.open(load().database_url) as one, Journal.open(load().database_url) as other:
        trails = (Audit(one), Audit(other))
        await asyncio.gather(
            *(
                trail.record(Action.STOP, by=f"p{n}", source="command", at=AT)
                for n in range(15)
                for trail in trails
            )
        )
        chain = await trails[0].verify()
    assert (chain.whole, chain.entries) == (True, 30)


@pytest.mark.usefixtures("anywhere")
def test_many_processes_at_once_make_one_chain() -> None:
    code = (
        "import asyncio; from datetime import datetime, UTC; from gameday.journal.audit import Audit;"
        "from gameday.journal.store import Journal; from gameday.settings import load\n"
        "async def main():\n"
        "  async with Journal.open(load().database_url) as j:\n"
        "    for n in range(10):\n"
        "      await Audit(j).record('stop', by='p', source='command', at=datetime.now(UTC))\n"
        "asyncio.run(main())\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [one.wait() for one in writers] == [0, 0, 0]
    assert run(["audit", "verify"]) == ExitCode.HELD


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
), max_size=4))  # fmt: skip
def test_whatever_the_detail_is_the_chain_is_whole(detail: dict[str, Any]) -> None:
    async def kept() -> bool:
        async with Journal.open("sqlite+aiosqlite://") as journal:
            audit = Audit(journal)
            await audit.record("stop", by="ann", source="command", at=AT, detail=detail)
            return (await audit.verify()).whole

    assert asyncio.run(kept())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET \"by\" = 'somebody else'",
        "DELETE FROM audit WHERE number = 5",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE number = 2",
    ],
)
async def test_the_database_itself_refuses_changes(statement: str, isolated: Path) -> None:
    await write()
    with (
        closing(sqlite3.connect(isolated / "journal.db")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="append-only"),
    ):
        connection.execute(statement)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("statement", ["UPDATE audit SET run = 'another'", "DELETE FROM audit"])
async def test_the_database_refuses_changes_to_whoever_writes_the_journal(statement: str) -> None:
    await write()
    async with Journal.open(load().database_url) as journal:
        with pytest.raises(JournalError, match="append-only"):
            async with journal.transaction() as connection:
                await connection.execute(text(statement))
        assert (await Audit(journal).verify()).entries == 5


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE audit SET \"by\" = 'somebody else' WHERE number = 3", 3),
        ("UPDATE audit SET at = '2026-11-22T10:15:30.123456+00:00' WHERE number = 1", 1),
        ("UPDATE audit SET at = 'yesterday' WHERE number = 2", 2),
        ("UPDATE audit SET detail = '{\"n\":7}' WHERE number = 4", 4),
        ("UPDATE audit SET detail = 'not json' WHERE number = 4", 4),
        ("UPDATE audit SET run = 'another' WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("UPDATE audit SET hash = 'ab' WHERE number = 2", 2),
        ("UPDATE audit SET number = 9 WHERE number = 5", 5),
    ],
)
async def test_whoever_changes_it_all_the_same_is_found_out_and_the_first_entry_named(
    statement: str, first: int, owner: Callable[[str], None], capsys: Capture
) -> None:
    await write()
    owner(statement)
    assert await asyncio.to_thread(run, ["audit", "verify", "-o", "json"]) == ExitCode.DISPROVED
    told = json.loads(capsys.readouterr().out)
    assert (told["whole"], told["firstBroken"]) == (False, first)


async def test_entries_taken_off_the_end_are_missed_where_the_last_hash_was_noted(
    owner: Callable[[str], None], capsys: Capture
) -> None:
    last = (await write())[-1].hash
    assert await asyncio.to_thread(run, ["audit", "verify", "--expect", last]) == ExitCode.HELD
    assert f"Last hash: {last}" in capsys.readouterr().out
    owner("DELETE FROM audit WHERE number = 5")
    assert await asyncio.to_thread(run, ["audit", "verify"]) == ExitCode.HELD
    assert await asyncio.to_thread(run, ["audit", "verify", "--expect", last]) == ExitCode.DISPROVED
    assert "the trail was cut after entry 4" in capsys.readouterr().out


async def test_an_export_is_checked_without_the_journal(tmp_path: Path, capsys: Capture) -> None:
    entries = await write(unit="ümlaut")
    file = tmp_path / "trail.jsonl"
    assert await asyncio.to_thread(run, ["audit", "export", str(file)]) == ExitCode.HELD
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["hash"] for line in lines] == [one.hash for one in entries]
    assert await asyncio.to_thread(run, ["audit", "verify", str(file)]) == ExitCode.HELD
    changed = lines[2].replace('"ann"', '"ben"')
    for spoilt, first in (
        ([*lines[:2], changed, *lines[3:]], 3),
        ([*lines[:2], *lines[3:]], 3),
        ([*lines[:3], "not json"], 4),
        ([*lines[:3], "[]"], 4),
        (lines[1:], 1),
    ):
        chain = await verify_export(spoilt)
        assert (chain.whole, chain.broken) == (False, first)


async def test_only_one_run_can_be_listed_and_exported(capsys: Capture) -> None:
    async with Journal.open(load().database_url) as journal:
        for name in ("run-a", "run-b", "run-a"):
            await Audit(journal).record("stop", by="ann", source="flow", at=AT, run=name)
    assert await asyncio.to_thread(run, ["audit", "list", "--run", "run-a", "-o", "json"]) == ExitCode.HELD
    assert [one["number"] for one in json.loads(capsys.readouterr().out)] == [1, 3]
    assert await asyncio.to_thread(run, ["audit", "export", "--run", "run-b"]) == ExitCode.HELD
    assert json.loads(capsys.readouterr().out)["number"] == 2


def test_an_empty_trail_is_whole(capsys: Capture) -> None:
    assert run(["audit", "verify"]) == ExitCode.HELD
    assert "0 entries" in capsys.readouterr().out
    assert run(["audit", "list"]) == ExitCode.HELD
    assert "Nothing was written down yet" in capsys.readouterr().out


async def test_whoever_must_not_be_stopped_by_it_hears_why_it_was_not_written(isolated: Path) -> None:
    async with Journal.open(load().database_url) as journal:
        audit = Audit(journal)
        assert await audit.attempt("stop", by="ann", source="command", at=AT) == ""
        with closing(sqlite3.connect(isolated / "journal.db")) as connection, connection:
            connection.execute("DROP TABLE audit")
        assert "no such table" in await audit.attempt("stop", by="ann", source="command", at=AT)
        with pytest.raises(JournalError):
            await audit.record("stop", by="ann", source="command", at=AT)


async def test_a_trail_that_somebody_holds_is_waited_for_no_longer_than_said(isolated: Path) -> None:
    async with Journal.open(load().database_url) as journal:
        audit = Audit(journal)
        holder = sqlite3.connect(isolated / "journal.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        why = await audit.attempt(
            "stop", by="ann", source="command", at=AT, within=timedelta(milliseconds=200)
        )
        assert "did not take it within 0.2 s" in why
        holder.execute("ROLLBACK")
        holder.close()
