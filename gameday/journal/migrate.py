"""Why: whoever opens a journal finds its tables as this version of the program needs them.

A new database gets them at once; an older one is brought up to date, revision by revision, by
Alembic, which is loaded only then. All of it is one transaction, and several processes that open the
same database at once wait for each other. A database of a newer program is left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, column, insert, inspect, select, table
from sqlalchemy.schema import CreateIndex, CreateTable

from gameday.errors import UsageError
from gameday.journal.append_only import protect_audit
from gameday.journal.schema import HEAD, metadata

_BASELINE: Final = "0001"
"""The tables as they were before revisions were counted."""

# PostgreSQL's advisory lock of whoever changes tables; any number that nobody else locks by.
_LOCK: Final = 711_354_126
_VERSION = table("alembic_version", column("version_num"))
_LOCATION: Final = Path(__file__).parent / "migrations"


def revision(connection: Connection) -> str:
    """The revision of the database's tables, "" where none is known. Costs two small queries."""
    if not inspect(connection).has_table(_VERSION.name):
        return ""
    return str(connection.execute(select(_VERSION.c.version_num)).scalar() or "")


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables as ``schema`` has them, whatever was there.

    Raises ``UsageError`` where the database is of a newer program.
    """
    if revision(connection) != HEAD:
        _lock(connection)
        _change(connection, revision(connection))
    protect_audit(connection)


def _lock(connection: Connection) -> None:
    """Wait until nobody else changes tables; the lock goes with the transaction."""
    if connection.dialect.name == "sqlite":
        # The driver begins one only before it writes rows, not before it changes tables.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _change(connection: Connection, found: str) -> None:
    if found == HEAD:
        return
    if found > HEAD:
        raise UsageError(
            f"The journal is of a newer gameday: its tables are at revision {found}, "
            f"this one knows them up to {HEAD}",
            hint="Use that newer gameday, or name another journal with GAMEDAY_DATABASE_URL.",
        )
    if not found and not inspect(connection).has_table("runs"):
        for one in metadata.sorted_tables:
            _create(connection, one)
        _upgrade(connection, stamp=HEAD)
        return
    _upgrade(connection, stamp="" if found else _BASELINE)


def _create(connection: Connection, one: Table) -> None:
    connection.execute(CreateTable(one))
    for index in one.indexes:
        connection.execute(CreateIndex(index))


def _upgrade(connection: Connection, *, stamp: str) -> None:
    """Run the revisions that are missing, from ``stamp`` on where nothing says which they are."""
    if stamp:
        connection.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
        )
        connection.execute(insert(_VERSION).values(version_num=stamp))
    if stamp == HEAD:
        return
    from alembic import command  # noqa: PLC0415 - costs 0.2 s, and is hardly ever needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _LOCATION.as_posix())
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
