"""Why: a database is opened so that nobody waits for ever, and readers never wait for the writer.

What differs between SQLite and PostgreSQL is here. What is kept in the database is ``store``'s.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pydantic_core import to_json
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from gameday.errors import UsageError

# For a connection, and for each statement.
_PATIENCE = timedelta(seconds=5)
_CONNECTIONS = 15
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def sqlite_file(url: str) -> Path | None:
    """The file of the database at ``url``, None where it is in none."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return Path(str(parsed.database))
    return None


def _patience(url: str) -> dict[str, float]:
    """What the driver must be told so that no call waits for ever; SQLite's is told by a pragma."""
    if make_url(url).get_driver_name() != "asyncpg":
        return {}
    seconds = _PATIENCE.total_seconds()
    return {"timeout": seconds, "command_timeout": seconds}


def _pool(url: str) -> dict[str, Any]:
    """How connections to a server are kept; to a file they cost nothing."""
    if make_url(url).get_backend_name() == "sqlite":
        return {}
    return {
        # As many as all runs of one process need at once, each kept once it was made: a connection that
        # is made for one statement costs more than the statement.
        "pool_size": _CONNECTIONS,
        "max_overflow": 0,
        # A run may wait for people for an hour: a server that was restarted meanwhile, or a proxy that
        # closed what was idle, must not look like a lost journal.
        "pool_pre_ping": True,
    }


def _json(value: Any) -> str:
    # JSON has no word for what is infinite; as text it is read back by ``float``, by any database.
    return to_json(value, inf_nan_mode="strings").decode()


def make_engine(url: str) -> AsyncEngine:
    """An engine for ``url``, with a directory for its file where it needs one.

    Raises ``UsageError`` for a bad URL, ``OSError`` where there can be no directory.
    """
    try:
        file = sqlite_file(url)
        engine = create_async_engine(
            url,
            json_serializer=_json,
            connect_args=_patience(url),
            # Every transaction here is ended by whoever began it; another rollback only costs time.
            pool_reset_on_return=None,
            **_pool(url),
        )
    except (ArgumentError, InvalidRequestError, ImportError, ValueError) as error:
        raise UsageError(
            f"GAMEDAY_DATABASE_URL is not a usable database URL ({error})",
            hint="Expected sqlite+aiosqlite:///PATH or postgresql+asyncpg://USER@HOST/DATABASE.",
        ) from None
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)

        @event.listens_for(engine.sync_engine, "connect")
        def _tune(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            cursor = connection.cursor()
            # First, so that the others wait too while another process opens the same file.
            cursor.execute("PRAGMA busy_timeout=10000")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return engine


@dataclass
class _Shared:
    engine: AsyncEngine
    users: int = 0


# By event loop, for a connection belongs to the loop on which it was made.
_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine for ``url``, the same for all who use it at once on this loop.

    So a hundred runs in one process are a few connections, not some for each: a PostgreSQL as it comes
    allows a hundred in all. Raises what ``make_engine`` raises.
    """
    of_loop = _engines.setdefault(asyncio.get_running_loop(), {})
    shared = of_loop.get(url)
    if shared is None:
        shared = of_loop[url] = _Shared(make_engine(url))
    shared.users += 1
    try:
        yield shared.engine
    finally:
        shared.users -= 1
        if not shared.users:
            # Out of reach first: whoever comes while it closes gets a new one.
            del of_loop[url]
            await shared.engine.dispose()


def must_open(file: Path) -> None:
    """Raise ``sqlite3.Error`` where ``file`` cannot be a database; have it written ahead where it can.

    Asked of SQLite itself: the asynchronous driver leaves a thread behind where it cannot open a
    file, and that thread then complains to the terminal.
    """
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        _write_ahead(connection)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _BUSY


@retry(
    retry=retry_if_exception(_is_busy),
    wait=wait_random(0.01, 0.05),
    stop=stop_after_delay(10),
    reraise=True,
)
def _write_ahead(connection: sqlite3.Connection) -> None:
    # Readers never wait for the writer, and a killed writer leaves a whole file. The mode stays with
    # the file. SQLite does not wait for others when it changes, whatever its timeout: so we try again.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
