"""Why: the journal is kept in SQLite or in PostgreSQL, so its tests run on both.

A PostgreSQL cluster of the tests' own, from Debian's binaries, on a free port of 127.0.0.1; every test
gets a new database in it. Skipped where there are no binaries.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

_NUMBERS = itertools.count()
_USER = "gameday"


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _somebody() -> tuple[int, int] | None:
    """Whom PostgreSQL runs as where we are root, which it refuses."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    pytest.skip("PostgreSQL does not run as root, and there is nobody else")


class PostgreSQL:
    """A PostgreSQL server of the tests' own, whose data stay while it is down."""

    def __init__(self, home: Path, binaries: Path, as_somebody: dict[str, Any]) -> None:
        """Keep the data in ``home``, which must be there and belong to whoever runs it."""
        self._home, self._binaries, self._as_somebody = home, binaries, as_somebody
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self._port = int(listening.getsockname()[1])
        init: list[str | Path] = [binaries / "initdb", "-D", home / "data", "-U", _USER]
        init += ["--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(init, check=True, capture_output=True, cwd=home, **as_somebody)
        self.start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, on the same data as before; it answers when this returns."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": self._home,
            "fsync": "off",
        }
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._home / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._home / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                start_new_session=True,
                **self._as_somebody,
            )
        asking: list[str | Path] = [self._binaries / "pg_isready", "-q", "-t", "1"]
        asking += ["-h", "127.0.0.1", "-p", str(self._port)]
        for _ in range(120):
            if subprocess.run(asking, check=False, capture_output=True).returncode == 0:
                return
            assert self._server.poll() is None, (self._home / "log").read_text()

    def stop(self) -> None:
        """End it, and every connection to it, at once; what was committed is kept."""
        # Its own word for "now": every child ends with it, and the next start recovers.
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(30)


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server without a database."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's binaries are not installed")
    # A path that the other user may walk, short enough for a socket's name.
    home = Path(tempfile.mkdtemp(prefix="gameday-pg-"))
    somebody = _somebody()
    if somebody:
        os.chown(home, *somebody)
    as_somebody: Any = {"user": somebody[0], "group": somebody[1], "extra_groups": []} if somebody else {}
    try:
        server = PostgreSQL(home, binaries, as_somebody)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The same, for whoever needs its address alone."""
    with postgresql() as server:
        yield server.address


def _address(server: str, name: str) -> str:
    return f"postgresql+asyncpg://{_USER}@{server}/{name}"


async def _create(server: str, name: str) -> None:
    engine = create_async_engine(_address(server, "postgres"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()


def new_database(server: str) -> str:
    """The address, as GAMEDAY_DATABASE_URL has it, of a new database on ``server``."""
    name = f"journal_{os.getpid()}_{next(_NUMBERS)}"
    asyncio.run(_create(server, name))
    return _address(server, name)
