"""Why: who did what, when and from where must stay known, and nobody may change it unnoticed.

An append-only table in the journal. Each entry holds the hash of the one before it, so that whoever
changes, removes or inserts one breaks the chain. The database refuses changes where it can; who owns
it can still make the trail end earlier, which only a hash kept elsewhere shows. Secrets are taken out
before an entry is hashed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gameday.errors import GamedayError
from gameday.journal.append_only import LOCK
from gameday.journal.schema import audit
from gameday.journal.store import Journal, JournalError, to_its_end
from gameday.redaction import redacted, redacted_data

GENESIS: Final = ""
"""What stands in place of a hash before the first entry."""

_PAGE: Final = 500
_NEWEST: Final = audit.c.number.desc()

Values = Mapping[str, Any]


class Action(StrEnum):
    """What can be done, and is written down."""

    RUN_REQUESTED = "run-requested"
    RUN_STARTED = "run-started"
    RUN_REFUSED = "run-refused"
    RUN_ENDED = "run-ended"
    FAULT_INJECTED = "fault-injected"
    FAULT_ENDED = "fault-ended"
    STOP = "stop"
    HALT = "halt"
    RESUME = "resume"
    APPROVAL = "approval"
    PROPOSAL = "proposal"
    GUARD = "guard"
    RESTART = "restart"
    ITEM = "action-item"


@dataclass(frozen=True, slots=True)
class Entry:
    """One action: ``by`` whom, through which door (``source``), on which ``host``, in which process."""

    number: int
    at: datetime
    action: str
    by: str
    source: str
    host: str
    process: str
    run: str
    detail: Mapping[str, Any]
    previous: str
    hash: str

    def as_dict(self) -> dict[str, Any]:
        """The entry as it is exported, and as ``verify_export`` reads it."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"at": _written(self.at)}


@dataclass(frozen=True, slots=True)
class Chain:
    """What became of a verification: ``broken`` names the first entry that is not as it was written."""

    entries: int
    last: str
    broken: int | None = None
    why: str = ""

    @property
    def whole(self) -> bool:
        """Whether every entry is as it was written."""
        return not self.why


@dataclass(frozen=True, slots=True)
class Place:
    """Where an action came from."""

    host: str = field(default_factory=socket.gethostname)
    process: str = field(default_factory=lambda: f"{Path(sys.argv[0]).name or 'python'} {os.getpid()}")


class Audit:
    """The audit trail of a journal."""

    def __init__(self, journal: Journal, place: Place | None = None) -> None:
        """Keep it in ``journal``, which must be open. ``place`` is this process where left out."""
        self._journal = journal
        self._place = place or Place()

    @to_its_end
    async def record(
        self,
        action: str,
        *,
        by: str,
        source: str,
        at: datetime,
        run: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Write an action down, after all that others write meanwhile. Raises ``JournalError``.

        ``by`` is the person or part that acted, ``source`` the door: command, flow, hook, guard.
        """
        # As JSON gives it back: what is hashed is what a reader will hash.
        plain = json.loads(to_json(dict(detail or {}), inf_nan_mode="strings", fallback=str))
        values = {
            "at": _written(at),
            "action": str(action),
            "by": redacted(by),
            "source": redacted(source),
            "host": self._place.host,
            "process": redacted(self._place.process),
            "run": run,
            "detail": redacted_data(plain),
        }
        newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
        async with self._journal.transaction() as connection:
            await _lock(connection)
            last = (await connection.execute(newest)).first()
            values["number"] = last.number + 1 if last else 1
            values["previous"] = last.hash if last else GENESIS
            values["hash"] = digest(values)
            await connection.execute(
                insert(audit).values(**values | {"detail": _canonical(values["detail"])})
            )
        return _entry(values)

    async def attempt(
        self,
        action: str,
        *,
        by: str,
        source: str,
        at: datetime,
        run: str = "",
        detail: Mapping[str, Any] | None = None,
        within: timedelta = timedelta(seconds=5),
    ) -> str:
        """As ``record``, for those who must not be stopped by it: why it is not written, "" where it is."""
        writing = asyncio.ensure_future(
            self.record(action, by=by, source=source, at=at, run=run, detail=detail)
        )
        done, _ = await asyncio.wait({writing}, timeout=within.total_seconds())
        if not done:
            return f"The journal did not take it within {within.total_seconds():g} s."
        error = writing.exception()
        if isinstance(error, GamedayError):
            return error.message
        return repr(error) if error else ""

    async def entries(self, *, run: str = "") -> AsyncIterator[Entry]:
        """The entries in order, those of one run where it is named. Raises ``JournalError``."""
        async for values in self._all(run):
            yield _entry(values)

    @to_its_end
    async def latest(self, limit: int = 20, run: str = "") -> list[Entry]:
        """The newest entries, the oldest of them first."""
        return [
            _entry(values) for values in reversed(await self._rows(_of(run).order_by(_NEWEST).limit(limit)))
        ]

    async def verify(self, expect: str = "") -> Chain:
        """Whether every entry is as it was written; ``expect`` is a hash that must be in the trail.

        Without ``expect``, entries that were taken off the end are not missed. Raises ``JournalError``.
        """
        return await _follow(self._all(), expect)

    async def _all(self, run: str = "") -> AsyncIterator[Values]:
        query, after = _of(run).order_by(audit.c.number).limit(_PAGE), 0
        while page := await self._rows(query.where(audit.c.number > after)):
            for values in page:
                yield values
            after = page[-1]["number"]

    @to_its_end
    async def _rows(self, query: Select[Any]) -> list[Values]:
        async with self._journal.transaction() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [{**row, "detail": _loaded(row["detail"])} for row in rows]


async def verify_export(lines: Iterable[str], expect: str = "") -> Chain:
    """As ``Audit.verify``, of a whole trail that was exported as JSON Lines."""

    async def exported() -> AsyncIterator[Values]:
        for line in lines:
            if line.strip():
                values = _loaded(line)
                yield values if isinstance(values, dict) else {}

    return await _follow(exported(), expect)


async def _follow(trail: AsyncIterator[Values], expect: str) -> Chain:
    before, count, found = GENESIS, 0, not expect
    async for values in trail:
        if why := _mistake(values, before, count + 1):
            return Chain(count, before, count + 1, why)
        before, count = values["hash"], count + 1
        found = found or before == expect
    if found:
        return Chain(count, before)
    why = f"no entry has the hash {expect}: the trail was cut after entry {count}, or is another one"
    return Chain(count, before, count + 1, why)


def _mistake(values: Values, before: str, number: int) -> str:
    if values.get("number") != number:
        return f"entry {number} is not there: after entry {number - 1} comes {values.get('number')}"
    if values.get("previous") != before:
        return f"entry {number} does not follow the one before it: one was changed, removed or put in"
    if values.get("hash") != digest(values):
        return f"entry {number} was changed: its content does not give its hash"
    return ""


def digest(values: Values) -> str:
    """The hash of an entry: SHA-256 of its canonical JSON without the hash itself.

    The hash of the entry before is part of it, as ``previous``.
    """
    hashed = {one.name: values.get(one.name) for one in fields(Entry) if one.name != "hash"}
    return hashlib.sha256(_canonical(hashed).encode()).hexdigest()


async def _lock(connection: AsyncConnection) -> None:
    """Let nobody else write an entry until this transaction ends."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


def _of(run: str) -> Select[Any]:
    return select(audit).where(audit.c.run == run) if run else select(audit)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _canonical(data: Any) -> str:
    """JSON in which the same content is the same text: keys sorted, no spaces, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # What nobody wrote through here is not read as anything; the chain tells.
        return {"unreadable": text}


def _entry(values: Values) -> Entry:
    try:
        return Entry(**{**values, "at": datetime.fromisoformat(values["at"])})
    except ValueError as error:
        why = f"Entry {values['number']} of the audit trail cannot be read: {error}"
        raise JournalError(why, hint="`gameday audit verify` tells which entry was changed first.") from error
