"""A journal is brought up to date by whoever opens it, whatever it was, and loses nothing by that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from gameday.errors import UsageError
from gameday.journal import migrate
from gameday.journal.engine import make_engine
from gameday.journal.schema import HEAD, metadata
from gameday.journal.store import Event, Journal, RunRecord

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
RECORD = RunRecord("20261123t101500-trial-7f3a", "trial", "staging", "somebody", "why", AT)
SCRIPTS = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))


async def in_database(url: str, what: Any) -> Any:
    engine = make_engine(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(what)
    finally:
        await engine.dispose()


def as_before_revisions(connection: Connection) -> None:
    """The tables that the first versions made, without a word about their revision."""
    from alembic.operations import Operations

    first = SCRIPTS.get_revision("0001")
    with Operations.context(MigrationContext.configure(connection)):
        assert first is not None
        first.module.upgrade()
    moment = AT if connection.dialect.name == "postgresql" else str(AT.replace(tzinfo=None))
    columns = "run, experiment, environment, requested_by, reason, started_at"
    values = ":run, 'trial', 'staging', 'somebody', 'why', :at"
    connection.execute(
        text(f"INSERT INTO runs ({columns}) VALUES ({values})"), {"run": RECORD.run, "at": moment}
    )


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    found = compare_metadata(context, metadata)
    # The table that Alembic itself keeps is nobody's.
    return [one for one in found if "alembic_version" not in str(one)]


def test_the_program_knows_the_newest_revision() -> None:
    assert SCRIPTS.get_current_head() == HEAD
    assert list(SCRIPTS.walk_revisions())[-1].revision == "0001"


async def test_a_new_journal_has_the_tables_that_the_revisions_would_make(database: str) -> None:
    async with Journal.open(database):
        pass
    assert await in_database(database, differences) == []
    assert await in_database(database, migrate.revision) == HEAD


async def test_a_journal_of_the_first_versions_is_taken_over_with_all_that_is_in_it(database: str) -> None:
    Path(database.partition(":///")[2] or ".").parent.mkdir(parents=True, exist_ok=True)
    await in_database(database, as_before_revisions)
    async with Journal.open(database) as journal:
        assert await journal.find(RECORD.run) == RECORD
        await journal.append(Event(RECORD.run, AT, "note", "it goes on"))
    assert await in_database(database, differences) == []
    assert await in_database(database, migrate.revision) == HEAD


async def test_several_that_open_an_old_journal_at_once_wait_for_the_one_that_changes_it(
    database: str,
) -> None:
    Path(database.partition(":///")[2] or ".").parent.mkdir(parents=True, exist_ok=True)
    await in_database(database, as_before_revisions)

    async def use(number: int) -> None:
        async with Journal.open(database) as journal:
            await journal.append(Event(RECORD.run, AT, "note", str(number)))

    await asyncio.gather(*(use(number) for number in range(6)))
    async with Journal.open(database) as journal:
        assert {event.message for event in await journal.events(RECORD.run)} == set("012345")


async def test_a_journal_of_a_newer_program_is_left_alone(database: str) -> None:
    async with Journal.open(database):
        pass
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await in_database(database, lambda connection: connection.execute(newer).rowcount)
    with pytest.raises(UsageError, match=r"revision 9999.*up to") as caught:
        async with Journal.open(database):
            pass
    assert "GAMEDAY_DATABASE_URL" in caught.value.hint


def test_a_journal_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    use = (
        "import asyncio, sys\n"
        "from gameday.journal.store import Journal\n"
        "async def main():\n"
        "    async with Journal.open(sys.argv[1]) as journal:\n"
        "        await journal.latest()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )
    command = [sys.executable, "-c", use, f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"]
    for _ in range(2):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
